"use strict";
/* Adds to the page what HTML alone cannot do: one plan at a time, zoom, pan, hints and a switch for dark colours. */
(() => {
  const SHORTEST_US = 1;
  const HINT_OPS = 16;
  const root = document.documentElement;
  const hint = document.getElementById("hint");
  root.classList.add("enhanced");

  /* ---- Light and dark ---- */
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remember = (value) => { try { localStorage.setItem("hetsim-theme", value); } catch { /* not allowed here */ } };
  const remembered = () => { try { return localStorage.getItem("hetsim-theme"); } catch { return null; } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  if (remembered() === "light" || remembered() === "dark") root.dataset.theme = remembered();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    nameTheme();
  });
  system.addEventListener("change", nameTheme);
  theme.hidden = false;
  nameTheme();

  const timelines = document.getElementById("timelines");
  if (!timelines) return;
  const controls = document.getElementById("controls");
  const output = controls.querySelector("output");
  const sections = [...timelines.querySelectorAll(".plan")];
  let chart = null; /* of the plan that is shown */
  const view = { from: 0, shown: 1, end: 1 };

  /* ---- The part of the axis that is shown ---- */
  const ms = (us) => (us / 1e3).toFixed(us < 1e3 ? 3 : 2);
  const show = (from, shown) => {
    view.shown = Math.min(view.end, Math.max(Math.min(SHORTEST_US, view.end), shown));
    view.from = Math.min(view.end - view.shown, Math.max(0, from));
    chart.style.setProperty("--from", view.from);
    chart.style.setProperty("--shown", view.shown);
    const whole = view.shown >= view.end;
    chart.classList.toggle("zoomed", !whole);
    output.textContent = whole ? "" : `${ms(view.from)}\u2013${ms(view.from + view.shown)} ms`;
    drawTicks();
  };
  const zoom = (factor, at = 0.5) => {
    const fixed = view.from + at * view.shown;
    const shown = Math.max(SHORTEST_US, Math.min(view.end, view.shown * factor));
    show(fixed - at * shown, shown);
  };
  const pan = (part) => show(view.from + part * view.shown, view.shown);
  const drawTicks = () => {
    const most = Math.max(2, Math.min(12, chart.clientWidth / 75));
    const power = 10 ** Math.floor(Math.log10(view.shown / most));
    const step = power * [1, 2, 5, 10].find((factor) => view.shown / (power * factor) <= most);
    const digits = Math.max(0, Math.ceil(3 - Math.log10(step) - 1e-9));
    const ticks = [];
    for (let number = Math.ceil(view.from / step); number * step <= view.from + view.shown; number++) {
      const tick = document.createElement("span");
      const label = document.createElement("b");
      label.textContent = (number * step / 1e3).toFixed(digits);
      tick.style.setProperty("--at", number * step);
      tick.append(label);
      ticks.push(tick);
    }
    chart.querySelector(".ticks").replaceChildren(...ticks);
  };
  const DOINGS = {
    in: () => zoom(0.5), out: () => zoom(2), left: () => pan(-0.25), right: () => pan(0.25), all: () => show(0, view.end),
  };
  controls.querySelector(".zoom").addEventListener("click", (event) => DOINGS[event.target.dataset.do]?.());

  /* ---- Plans ---- */
  const choose = (id) => {
    const chosen = sections.find((section) => section.id === id) ?? sections[0];
    for (const section of sections) section.hidden = section !== chosen;
    for (const radio of controls.querySelectorAll("input")) radio.checked = radio.value === chosen.id;
    chart = chosen.querySelector(".chart");
    view.end = Number(chart.dataset.end);
    show(0, view.end);
    hideHint();
  };
  controls.addEventListener("change", (event) => choose(event.target.value));
  addEventListener("hashchange", () => {
    const id = location.hash.slice(1);
    if (!sections.some((section) => section.id === id)) return;
    choose(id);
    timelines.scrollIntoView();
  });
  addEventListener("resize", () => drawTicks());

  /* ---- Hints ---- */
  const line = (tag, content) => Object.assign(document.createElement(tag), { textContent: content });
  const number = (element, name) => Number(element.style.getPropertyValue(name));
  const range = (bar) => {
    const start = number(bar, "--s"), duration = number(bar, "--d");
    return `${ms(start)}\u2013${ms(start + duration)} ms (${ms(duration)} ms)`;
  };
  const bars = (segment) => [...segment.closest(".chart").querySelectorAll(`[data-segment="${segment.dataset.segment}"]`)];
  const segmentHint = (segment) => {
    const row = document.getElementById(`${segment.closest(".chart").dataset.plan}-segment-${segment.dataset.segment}`);
    const [label, device] = [...row.cells].map((cell) => cell.textContent);
    const ops = [...row.querySelectorAll(".ops span")].map((op) => op.textContent);
    const times = bars(segment).map((bar) => `${bar.closest(".panel").dataset.origin} ${range(bar)}`);
    const count = ops.length === 1 ? "1 operator" : `${ops.length} operators`;
    const more = ops.length > HINT_OPS ? ` and ${ops.length - HINT_OPS} more` : "";
    return [line("b", label), line("div", `${device}, ${count}`), ...times.map((time) => line("div", time)),
      line("div", ops.slice(0, HINT_OPS).join(", ") + more)];
  };
  const hideHint = () => {
    hint.hidden = true;
    for (const bar of timelines.querySelectorAll(".twin, .pointed")) bar.classList.remove("twin", "pointed");
  };
  const showHint = (element, x, y) => {
    hideHint();
    if (element.matches(".segment[data-segment]")) {
      hint.replaceChildren(...segmentHint(element));
      for (const bar of bars(element)) bar.classList.add(bar === element ? "pointed" : "twin");
    } else hint.replaceChildren(line("div", element.dataset.hint));
    hint.hidden = false;
    const box = hint.getBoundingClientRect();
    const below = y + 18 + box.height < innerHeight;
    hint.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - box.width - 8))}px`;
    hint.style.top = `${Math.max(8, below ? y + 18 : y - box.height - 12)}px`;
  };
  const HINTED = ".segment, .wait, .handover";
  for (const element of timelines.querySelectorAll(HINTED)) { /* the browser's own hints would lie above these */
    const title = element.querySelector("title");
    element.dataset.hint = title ? title.textContent : element.title;
    title?.remove();
    element.removeAttribute("title");
    if (element.matches(".segment")) element.setAttribute("aria-label", element.dataset.hint);
  }
  timelines.addEventListener("pointermove", (event) => {
    const element = event.target.closest(HINTED);
    if (element && !dragging.moved) showHint(element, event.clientX, event.clientY);
    else if (!event.target.closest(".segment:focus")) hideHint();
  });
  timelines.addEventListener("pointerleave", hideHint);
  const focused = () => timelines.querySelector(".segment:focus-visible");
  const showFocused = () => {
    const box = focused().getBoundingClientRect();
    showHint(focused(), Math.max(box.left, 0) + Math.min(box.width, 80) / 2, box.bottom - 12);
  };
  addEventListener("scroll", () => { if (focused()) showFocused(); else hideHint(); }, { passive: true });

  /* ---- Mouse and touch ---- */
  const dragging = { pointers: new Map(), moved: false };
  const place = (x) => {
    const box = chart.getBoundingClientRect();
    return (x - box.left) / box.width;
  };
  const onChart = (event) => event.target.closest(".chart") === chart;
  timelines.addEventListener("wheel", (event) => {
    if (!onChart(event)) return;
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(Math.max(-40, Math.min(40, event.deltaY)) / 100), place(event.clientX));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && view.shown < view.end) pan(event.deltaX / chart.clientWidth);
    else return;
    event.preventDefault();
  }, { passive: false });
  timelines.addEventListener("dblclick", (event) => { if (onChart(event)) zoom(0.5, place(event.clientX)); });
  timelines.addEventListener("pointerdown", (event) => {
    if (onChart(event) && event.button === 0) dragging.pointers.set(event.pointerId, event.clientX);
  });
  addEventListener("pointermove", (event) => {
    const { pointers } = dragging;
    const before = pointers.get(event.pointerId);
    if (before === undefined) return;
    if (!dragging.moved && Math.abs(event.clientX - before) < 4) return;
    dragging.moved = true;
    chart.classList.add("dragged");
    hideHint();
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
    pointers.set(event.pointerId, event.clientX);
    if (!others.length) pan(place(before) - place(event.clientX));
    else { /* two fingers: both stay where they are on the axis */
      const [old, now] = [Math.abs(before - others[0]), Math.abs(event.clientX - others[0])];
      zoom(Math.max(old, 1) / Math.max(now, 1), place(others[0]));
    }
  });
  const release = (event) => {
    dragging.pointers.delete(event.pointerId);
    if (dragging.pointers.size) return;
    dragging.moved = false;
    chart.classList.remove("dragged");
  };
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);

  /* ---- Keyboard: one segment of each panel can be reached by Tab, arrows go on from there ---- */
  for (const panel of timelines.querySelectorAll(".panel")) {
    panel.querySelectorAll(".segment").forEach((segment, index) => { segment.tabIndex = index ? -1 : 0; });
  }
  const reveal = (segment) => {
    const start = number(segment, "--s"), end = start + number(segment, "--d");
    if (start < view.from || end > view.from + view.shown) show((start + end - view.shown) / 2, view.shown);
  };
  const go = (segment, target) => {
    if (!target) return;
    segment.tabIndex = -1;
    target.tabIndex = 0;
    reveal(target);
    target.focus({ preventScroll: view.shown < view.end });
  };
  const neighbour = (segment, key) => {
    const track = segment.parentElement;
    const inTrack = [...track.querySelectorAll(".segment")];
    const index = inTrack.indexOf(segment);
    if (key === "ArrowLeft") return inTrack[index - 1];
    if (key === "ArrowRight") return inTrack[index + 1];
    const tracks = [...chart.querySelectorAll(".track")].filter((other) => other.querySelector(".segment"));
    const next = tracks[tracks.indexOf(track) + (key === "ArrowDown" ? 1 : -1)];
    const middle = number(segment, "--s") + number(segment, "--d") / 2;
    const distance = (bar) => Math.abs(number(bar, "--s") + number(bar, "--d") / 2 - middle);
    return next && [...next.querySelectorAll(".segment")].reduce((a, b) => (distance(b) < distance(a) ? b : a));
  };
  timelines.addEventListener("keydown", (event) => {
    const segment = event.target.closest(".segment");
    if (!segment || event.ctrlKey || event.altKey || event.metaKey) return;
    const doing = { "+": "in", "=": "in", "-": "out", "0": "all" }[event.key];
    const middle = number(segment, "--s") + number(segment, "--d") / 2;
    if (doing === "all") DOINGS.all();
    else if (doing) zoom(doing === "in" ? 0.5 : 2, Math.max(0, Math.min(1, (middle - view.from) / view.shown)));
    else if (event.shiftKey && event.key === "ArrowLeft") DOINGS.left();
    else if (event.shiftKey && event.key === "ArrowRight") DOINGS.right();
    else if (event.key.startsWith("Arrow")) go(segment, neighbour(segment, event.key));
    else if (event.key === "Escape") hideHint();
    else return;
    event.preventDefault();
    if (event.key !== "Escape" && focused()) showFocused();
  });
  timelines.addEventListener("focusin", () => { if (focused()) showFocused(); });
  timelines.addEventListener("focusout", hideHint);

  controls.hidden = false;
  choose(location.hash.slice(1) || timelines.dataset.first);
})();
