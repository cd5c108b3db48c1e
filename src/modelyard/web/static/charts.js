// Makes the charts of a page explorable: the server drew them; the library is fetched when a page has any.
"use strict";
(() => {
  const source = document.currentScript.dataset.bundle;
  let library = null;

  function loaded() {
    library ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = source;
      script.onload = () => resolve(window.vegaEmbed);
      script.onerror = reject;
      document.head.append(script);
    });
    return library;
  }

  const tip = document.createElement("div");
  tip.id = "vg-tooltip-element";
  tip.setAttribute("role", "status");

  // Our own tooltip: texts stay texts, and no style element or attribute is written, which the policy would refuse.
  function show(_, event, __, value) {
    if (value == null || value === "") { tip.classList.remove("visible"); return; }
    tip.replaceChildren();
    const table = document.createElement("table");
    for (const [key, text] of Object.entries(typeof value === "object" ? value : { "": value })) {
      const row = table.insertRow(), name = row.insertCell(), shown = row.insertCell();
      name.className = "key"; name.textContent = key;
      shown.className = "value"; shown.textContent = String(text);
    }
    tip.append(table);
    tip.classList.add("visible");
    const box = tip.getBoundingClientRect();
    const x = event.clientX + 14 + box.width > innerWidth ? event.clientX - box.width - 14 : event.clientX + 14;
    const y = event.clientY + 14 + box.height > innerHeight ? event.clientY - box.height - 14 : event.clientY + 14;
    tip.style.left = Math.max(4, x) + "px";
    tip.style.top = Math.max(4, y) + "px";
  }

  async function draw(figure) {
    const place = figure.querySelector("[data-chart]:not(.drawn)"), spec = figure.querySelector('script[type="application/json"]');
    if (!place || !spec) return;
    const [embed] = await Promise.all([loaded(), document.fonts.load("11px Inter")]);
    const still = place.innerHTML, height = place.clientHeight;
    place.style.minHeight = height + "px";
    place.classList.add("drawn");
    try {
      const shown = await embed(place, JSON.parse(spec.textContent), { ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: show });
      figure.yardView = shown;
      figure.dispatchEvent(new CustomEvent("yard:drawn", { bubbles: true }));
    } catch (error) {
      place.classList.remove("drawn");
      place.innerHTML = still;
      console.error(error);
    }
    place.style.minHeight = "";
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "200px" });
  const watch = (part) => part.querySelectorAll("figure.chart").forEach((figure) => near.observe(figure));
  document.body.append(tip);
  watch(document);
  document.addEventListener("yard:fresh", (event) => watch(event.target));
})();
