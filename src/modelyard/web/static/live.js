// Regions that follow events: [data-live="topic topic"] with an id is fetched anew when one of its topics changes.
"use strict";
(() => {
  const { liveUrl, liveAfter } = document.body.dataset;
  const LONGEST_WAIT_MS = 30000;
  let stream = null, position = Number(liveAfter), wait = 1000, timer = 0, fetching = false, again = false;
  const stale = new Set();

  const regions = () => [...document.querySelectorAll("[data-live][id]")];
  const topicsOf = (region) => region.dataset.live.split(/\s+/).filter(Boolean);
  const follows = (region, topic) => topicsOf(region).some((own) => topic === own || topic.startsWith(own + "/") || topic.startsWith(own + ":"));
  const isBusy = (region) => region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")
    || region.querySelector(":popover-open") !== null;

  function replace(old, fresh) {
    if (old.innerHTML === fresh.innerHTML) return;
    for (const open of old.querySelectorAll("details[open][id]")) fresh.querySelector("#" + CSS.escape(open.id))?.setAttribute("open", "");
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const node = document.importNode(fresh, true);
    node.classList.add("fresh");
    old.replaceWith(node);
    node.querySelectorAll(".scroll").forEach((box, i) => { if (scrolled[i]) [box.scrollLeft, box.scrollTop] = scrolled[i]; });
    if (focused) document.getElementById(focused)?.focus();
    node.dispatchEvent(new CustomEvent("yard:fresh", { bubbles: true }));
  }

  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of [...stale]) {
        const old = document.getElementById(id), next = fresh.getElementById(id);
        if (old && isBusy(old)) continue;
        stale.delete(id);
        if (old && next) replace(old, next);
      }
    } catch { again = true; } finally { fetching = false; }
    if (again || stale.size) { again = false; clearTimeout(timer); timer = setTimeout(refresh, 1000); }
  }

  function changed(topic) {
    for (const region of regions()) if (topic === null || follows(region, topic)) stale.add(region.id);
    if (stale.size) { clearTimeout(timer); timer = setTimeout(refresh, 80); }
  }

  function open() {
    if (stream || document.hidden) return;
    const topics = [...new Set(regions().flatMap(topicsOf))];
    if (!topics.length) return;
    const query = new URLSearchParams([["after", String(position)], ...topics.map((topic) => ["topic", topic])]);
    stream = new EventSource(liveUrl + "?" + query);
    stream.onopen = () => { wait = 1000; document.body.dataset.liveState = "on"; };
    stream.onmessage = (event) => { heard(event); changed(JSON.parse(event.data)); };
    stream.addEventListener("all", (event) => { heard(event); changed(null); });
    stream.onerror = () => {
      // A break of any kind: our own wait, longer each time and never the same for all, instead of the browser's.
      close();
      document.body.dataset.liveState = "away";
      setTimeout(open, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  }

  function heard(event) { if (event.lastEventId !== "") position = Number(event.lastEventId); }

  function close() { stream?.close(); stream = null; }

  // A hidden tab holds no connection: a browser has six for one server, and tabs are many.
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
})();
