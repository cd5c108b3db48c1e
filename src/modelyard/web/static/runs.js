// Comforts of tables of runs and of curves: choosing rows, narrowing lists, zooming. Without it forms and links do the same.
"use strict";
(() => {
  const rows = () => [...document.querySelectorAll('input[form="chosen"]')];
  const button = document.querySelector("[data-chosen]"), all = document.querySelector("[data-all]");
  let last = null;

  function count() {
    const boxes = rows(), chosen = boxes.filter((box) => box.checked).length;
    for (const box of boxes) box.closest("tr").classList.toggle("chosen", box.checked);
    if (button) { button.textContent = chosen ? `Compare ${chosen} chosen` : "Compare chosen"; button.disabled = chosen < 2; }
    if (all) { all.checked = chosen > 0 && chosen === boxes.length; all.indeterminate = chosen > 0 && chosen < boxes.length; }
  }

  if (all) all.hidden = false;
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.('input[form="chosen"]');
    if (!box) return;
    const boxes = rows(), from = boxes.indexOf(last), to = boxes.indexOf(box);
    // Shift takes all between this row and the last one that was clicked.
    if (event.shiftKey && from >= 0) for (const one of boxes.slice(Math.min(from, to), Math.max(from, to) + 1)) one.checked = box.checked;
    last = box;
    count();
  });
  document.addEventListener("change", (event) => {
    if (event.target === all) { for (const box of rows()) box.checked = all.checked; count(); }
    if (event.target.matches?.("[data-submits]")) event.target.form.requestSubmit();
    if (event.target.matches?.('input[form="chosen"]')) count();
  });
  document.addEventListener("keydown", (event) => {
    const box = event.target.closest?.('input[form="chosen"]');
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (!box || !step || event.ctrlKey || event.metaKey || event.altKey) return;
    const boxes = rows(), next = boxes[boxes.indexOf(box) + step];
    if (next) { event.preventDefault(); next.focus(); }
  });

  document.addEventListener("input", (event) => {
    const list = event.target.dataset?.narrows;
    if (!list) return;
    const word = event.target.value.trim().toLowerCase();
    for (const item of document.querySelectorAll(list)) item.hidden = !item.dataset.word.includes(word);
  });

  // A range that is drawn over a chart asks the server for that part, with as many points as fit the chart again.
  document.addEventListener("yard:drawn", (event) => {
    const form = document.querySelector("form[data-zoom]"), view = event.target.yardView?.view;
    if (!form || !view) return;
    let asked = null;
    try { view.addSignalListener("range", (_, value) => { asked = value?.x ?? null; }); } catch { return; }
    event.target.addEventListener("pointerup", () => setTimeout(() => {
      if (!asked || !(asked[1] > asked[0])) return;
      const [from, to] = asked.map(Number), read = (at) => String(to - from > 100 ? Math.round(at) : Number(at.toPrecision(6)));
      form.elements.first.value = read(from);
      form.elements.last.value = read(to);
      form.requestSubmit();
    }, 60));
  });
  count();
})();
