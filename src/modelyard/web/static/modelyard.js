// Conveniences of every page: search by "/", copying, the theme without a reload. Every page works without them.
"use strict";
const root = document.documentElement;
root.classList.add("js");

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.getElementById("search");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  }
  if (event.key === "Escape" && event.target.id === "search") event.target.blur();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const word = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
  } catch {
    button.textContent = "not allowed";
  }
  setTimeout(() => { button.textContent = word; }, 1400);
});

document.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  if (form.getAttribute("action") === "/preferences/theme" && button) {
    event.preventDefault();
    for (const other of document.querySelectorAll('form[action="/preferences/theme"] button')) {
      other.setAttribute("aria-pressed", String(other.value === button.value));
    }
    if (button.value === "system") delete root.dataset.theme; else root.dataset.theme = button.value;
    await fetch(form.action, { method: "POST", body: new URLSearchParams({ theme: button.value }), redirect: "manual" });
    return;
  }
  // A second click on a slow answer must not do the thing twice. After the event: a disabled button's value is not sent.
  if (form.method === "post" && button) setTimeout(() => { button.setAttribute("aria-busy", "true"); button.disabled = true; });
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll('button[aria-busy="true"]')) { button.disabled = false; button.removeAttribute("aria-busy"); }
});

// MLflow's clients print addresses such as /#/experiments/1/runs/ab12, of which a server hears nothing behind the "#".
const MLFLOW = [
  [/^#\/experiments\/\d+\/runs\/([0-9a-f]{32})(?:[/?]|$)/, (id) => `/runs/${id}`],
  [/^#\/experiments\/(\d+)(?:[/?]|$)/, (id) => `/experiments/${id}`],
  [/^#\/models\/([^/?]+)\/versions\/(\d+)(?:[/?]|$)/, (model, number) => `/models/${model}/versions/${number}`],
  [/^#\/models\/([^/?]+)(?:[/?]|$)/, (model) => `/models/${model}`],
];
for (const [pattern, path] of MLFLOW) {
  const found = pattern.exec(location.hash);
  if (!found) continue;
  const next = document.querySelector('input[name="next"]');
  if (next) next.value = path(...found.slice(1)); else location.replace(path(...found.slice(1)));
  break;
}
