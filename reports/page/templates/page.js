"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { cells, implementations, panels, specs } = data;
  // What is shown; of every batch size where `m` is null, of all but the `hidden` implementations.
  const state = { panel: data.panel, baseline: data.baseline, m: null, hidden: new Set() };
  const $ = (id) => document.getElementById(id);
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Words for numbers, as reports/style.py has them.
  const digits = (value, count = 3) => {
    if (value === null || !Number.isFinite(value)) return "-";
    if (value === 0) return "0";
    if (Math.abs(value) < 1e-3) return value.toExponential(Math.max(count - 2, 0));
    const rounded = Number(value.toPrecision(count));
    const places = Math.max(count - 1 - Math.floor(Math.log10(Math.abs(rounded))), 0);
    return rounded.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  };
  const UNITS = [["d", 86400, 345600], ["h", 3600, 3598.2], ["min", 60, 99.95], ["s", 1, 0.9995],
    ["ms", 1e-3, 0.9995e-3], ["µs", 1e-6, 0.9995e-6], ["ns", 1e-9, 0]];
  const duration = (seconds) => {
    if (seconds === null || !Number.isFinite(seconds)) return "-";
    const [name, unit] = UNITS.find(([, , least]) => seconds >= least);
    return `${digits(seconds / unit)} ${name}`;
  };
  const factor = (value) => (Number.isFinite(value) ? `${digits(value)}x` : "-");

  const interval = (low, high, words) => (low === null || low === undefined ? "none" : `${words(low)} to ${words(high)}`);

  // A cell's speedup over a baseline, as the record's analysis has it; null where there is none.
  const speedup = (baseline, k) => {
    const { value, low, high, pairs, projected } = data.speedups[baseline];
    return value[k] === null ? null : { value: value[k], low: low[k], high: high[k], pairs: pairs[k], guess: projected.includes(k) };
  };
  const cellsOf = (panel) => [...Array(panels[panel].stop - panels[panel].start).keys()].map((offset) => panels[panel].start + offset);
  const served = (baseline) => cellsOf(state.panel).some((k) =>
    (state.m === null || cells.m[k] === state.m) && speedup(baseline, k)?.guess === false);

  // The cells of the panel that is shown, one row each.
  const rowsOfPanel = () => {
    return cellsOf(state.panel).map((k) => {
      const { label, colour, shape, dash, parallel } = implementations[cells.implementation[k]];
      const status = data.statuses[cells.status[k]];
      const row = {
        k, index: cells.implementation[k], implementation: label, colour, shape, dash, parallel, m: cells.m[k], status, mark: data.marks[cells.status[k]],
        reason: data.reasons[cells.reason[k]], measured: status === "measured", speedup: speedup(state.baseline, k),
      };
      for (const name of ["seconds", "low", "high", "processes", "rate", "compile", "bound", "ulp"]) row[name] = cells[name][k];
      return row;
    });
  };

  const rowsShown = () => rowsOfPanel().filter((row) => !state.hidden.has(row.index) && (state.m === null || row.m === state.m));
  const sizesOf = (rows) => [...new Set(rows.map((row) => row.m))].sort((a, b) => a - b);

  // The answer in words, as reports/text.py has it: how much, and which.
  const rated = (rows) => rows.filter((row) => row.measured && row.speedup);
  const howMuch = (rows) => {
    const { answer, words } = panels[state.panel];
    if (answer) return answer;
    const base = implementations[state.baseline].label;
    const others = rated(rows).filter((row) => row.index !== state.baseline);
    if (!others.length) return `No implementation was measured beside ${base} here: ${words}.`;
    const worse = (a, b) => (a.speedup.guess === b.speedup.guess ? a.speedup.value <= b.speedup.value : a.speedup.guess);
    const best = others.reduce((one, other) => (worse(one, other) ? other : one));
    const { value, low, high, pairs, guess } = best.speedup;
    const kind = pairs === 1 || best.processes === 1 ? "rounds of one process" : "95 % interval";
    const between = low === null ? "" : `, ${kind} ${factor(low)} to ${factor(high)}`;
    return `${best.implementation} is ${factor(value)} as fast as ${base}${guess ? " (projected)" : ""} at m = ${best.m}${between} (${words}).`;
  };
  const which = (rows) => {
    const timed = rated(rows).sort((a, b) => a.seconds - b.seconds);
    const sizes = sizesOf(timed);
    if (panels[state.panel].answer || !sizes.length) return "";
    if (sizes.length > 1) {
      const first = sizes.map((m) => timed.find((row) => row.m === m));
      const leaders = first.filter((row, k) => row.implementation !== first[k - 1]?.implementation);
      return `Fastest: ${leaders.map((row) => `${row.implementation} from m = ${row.m}`).join(", ")}.`;
    }
    const [best, ...others] = timed;
    const longer = others.slice(0, 4).map((row) => {
      const found = speedup(best.index, row.k);
      return found ? `${row.implementation} takes ${factor(1 / found.value)} as long` : row.implementation;
    });
    return `Fastest: ${best.implementation}, ${duration(best.seconds)}${longer.length ? `; ${longer.join(", ")}` : ""}.`;
  };

  const tooltip = (row) => ({
    implementation: row.implementation, "batch size": `${row.m}`, time: duration(row.seconds), speedup: factor(row.speedup?.value),
    interval: interval(row.speedup?.low, row.speedup?.high, factor), error: row.bound === null ? "-" : `${digits(row.bound)} of the bound`,
    note: row.measured ? `${row.processes} process${row.processes === 1 ? "" : "es"}` : `${row.status}: predicted`,
  });

  // Names at line ends, moved apart in the logarithm of the value (reports/charts/labels.py, `spread`): taking k gaps
  // off the k-th turns "apart" into "never falling", whose least-squares answer is isotonic regression.
  const placed = (ends, low, high, height) => {
    const sorted = [...ends].sort((a, b) => a.value - b.value);
    const wide = Math.log(high / low);
    const gap = Math.min(wide * 15 / height, wide / Math.max(sorted.length - 1, 1));
    const wanted = sorted.map((end, k) => Math.log(end.value / low) - k * gap);
    const mean = (i, j) => wanted.slice(i, j + 1).reduce((sum, value) => sum + value) / (j + 1 - i);
    const places = [...wanted.keys()];
    const free = places.map((k) => Math.max(...places.slice(0, k + 1).map((i) => Math.min(...places.slice(k).map((j) => mean(i, j))))));
    const within = (place) => Math.min(Math.max(place, 0), wide - gap * (sorted.length - 1));
    return sorted.map((end, k) => ({ ...end, value: low * Math.exp(within(free[k]) + k * gap) }));
  };

  // The ends of a logarithmic axis that holds the values, and some air.
  const padded = (values, least) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const air = Math.max((high / low) ** 0.05, least);
    return [low / air, high * air];
  };

  // Ticks at powers of ten; at 1, 2 and 5 of them too where the axis is short.
  const decades = (low, high) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const step of high / low < 30 ? [1, 2, 5] : [1]) found.push(step * 10 ** power);
    }
    return found.filter((value) => value >= low && value <= high);
  };

  const short = (words) => words.replace(/\.\d+/, (part) => part.replace(/\.?0+$/, ""));
  const expressionFunctions = { duration_tick: (value) => short(duration(value)), factor_tick: (value) => short(factor(value)) };
  const views = {};
  const show = async (id, datasets, signals) => {
    if (views[id]) {
      for (const set of specs[id].data) if (datasets[set.name]) views[id].data(set.name, datasets[set.name]);
      for (const [name, value] of Object.entries(signals)) views[id].signal(name, value);
      await views[id].resize().runAsync();
      return;
    }
    for (const set of specs[id].data) if (datasets[set.name]) set.values = datasets[set.name];
    for (const signal of specs[id].signals) if (signals[signal.name]) signal.value = signals[signal.name];
    const options = { mode: "vega", renderer: "svg", actions: false, expressionFunctions, tooltip: { theme: "custom" } };
    views[id] = (await vegaEmbed(`#${id}`, specs[id], options)).view;
  };

  const lines = async (id, rows, pick, mark = null) => {
    const drawn = rows.map((row) => ({ ...row, ...pick(row), ...tooltip(row) })).filter((row) => row.value > 0)
      .map((row) => ({ ...row, low: row.low ?? row.value, high: row.high ?? row.value }));
    $(`${id}-figure`).hidden = drawn.length === 0;
    if (!drawn.length) return;
    const values = drawn.flatMap((row) => [row.low, row.high, row.value]).concat(mark === null ? [] : [mark]);
    const sizes = drawn.map((row) => row.m);
    const [low, high] = padded(values, 1.25);
    const [first, last] = padded(sizes, 1.25);
    const ends = new Map();
    drawn.forEach((row) => { if (!ends.has(row.implementation) || ends.get(row.implementation).m < row.m) ends.set(row.implementation, row); });
    const names = placed([...ends.values()], low, high, 400).map((end) => ({ ...end, m: last }));
    const datasets = { rows: drawn, names, frame: [{ m: first, value: low }, { m: last, value: high }], unit: [{ value: mark }] };
    await show(id, datasets, { xticks: [...new Set(sizes)].sort((a, b) => a - b), yticks: decades(low, high) });
  };

  // Bars from zero, the fastest first.
  const bars = async (id, rows, pick, words) => {
    const drawn = rows.map((row) => ({ ...row, ...pick(row), ...tooltip(row) })).filter((row) => row.value > 0)
      .sort((a, b) => (id === "time" ? a.value - b.value : b.value - a.value))
      .map((row) => ({ ...row, low: row.low ?? row.value, high: row.high ?? row.value, words: words(row.value) }))
      .map((row) => ({ ...row, end: Math.max(row.high, row.value) }));
    $(`${id}-figure`).hidden = drawn.length === 0;
    if (!drawn.length) return;
    const most = 1.15 * Math.max(...drawn.map((row) => row.end));
    const power = 10 ** Math.floor(Math.log10(most / 4));
    const step = power * [1, 2, 5, 10].find((times) => times * power >= most / 5);
    const ticks = [...Array(Math.floor(most / step) + 1).keys()].map((k) => k * step);
    await show(`${id}-bars`, { rows: drawn, frame: [{ value: most }] }, { xticks: ticks });
  };

  const against = async (id, rows, pick, words) => {
    const alone = sizesOf(rows).length === 1;
    $(id).hidden = alone;
    $(`${id}-bars`).hidden = !alone;
    await (alone ? bars(id, rows, pick, words) : lines(id, rows, pick, id === "speedup" ? 1 : null));
  };

  const heatColour = (speedup) => {
    const off = Math.log10(speedup);
    if (Math.abs(off) < Math.log10(1.1)) return ["#e4e4e4", "#1c1f23"];
    const [from, to, span] = off > 0 ? [[222, 235, 247], [8, 69, 148], 3.5] : [[250, 232, 214], [150, 75, 10], 1.5];
    const share = Math.min(Math.abs(off) / span, 1);
    const mixed = from.map((value, k) => Math.round(value + (to[k] - value) * share));
    const channel = (value) => { const s = value / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; };
    const luminance = 0.2126 * channel(mixed[0]) + 0.7152 * channel(mixed[1]) + 0.0722 * channel(mixed[2]);
    return [`rgb(${mixed.join(" ")})`, luminance < 0.18 ? "#ffffff" : "#000000"];
  };

  const number = (name, ...words) => element(name, { class: "number", ...(name === "th" ? { scope: "col" } : {}) }, ...words);
  const name = (words) => element("bdi", {}, words);

  const heat = (rows) => {
    const sizes = [...new Set(rows.map((row) => row.m))].sort((a, b) => a - b);
    const base = implementations[state.baseline].label;
    const names = [...new Set(rows.map((row) => row.implementation))].sort((a, b) => (b === base) - (a === base));
    const cell = (row) => {
      const made = element("td");
      if (!row) return made;
      if (!row.measured) {
        made.className = ["wrong", "implausible"].includes(row.status) ? "wrong" : "status";
        made.title = row.reason;
        const small = row.seconds ? `~${duration(row.seconds)}` : row.rate ? `${digits(row.rate)} GFLOP/s` : "";
        made.append(row.mark, small ? element("small", {}, small) : "");
      } else if (row.implementation === base || !row.speedup) {
        made.append(duration(row.seconds));
      } else {
        const { value, low, high, pairs, guess } = row.speedup;
        const half = 100 * (Math.sqrt(high / low) - 1);
        made.append(`${guess ? "~" : ""}${factor(value)}`, pairs > 1 ? element("small", {}, `±${half.toFixed(half < 9.95 ? 1 : 0)} %`) : "");
        [made.style.background, made.style.color] = heatColour(value);
      }
      return made;
    };
    const head = element("tr", {}, element("th", { scope: "col" }, "implementation"), ...sizes.map((m) => number("th", `m = ${m}`)));
    const body = names.map((own) => element("tr", {}, element("th", { scope: "row" }, name(own)),
      ...sizes.map((m) => cell(rows.find((row) => row.implementation === own && row.m === m)))));
    $("heat").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
    $("heat-note").textContent = `${base}: time of one call; the others: times as fast, and half the interval's width.`;
  };

  // Heading, what it is sorted by, what it shows.
  const COLUMNS = [
    ["implementation", (row) => row.implementation, (row) => name(row.implementation)],
    ["m", (row) => row.m, (row) => `${row.m}`],
    ["status", (row) => row.status, (row) => (row.reason ? `${row.status}: ${row.reason}` : row.status)],
    ["time", (row) => (row.measured ? row.seconds : null), (row) => (row.seconds ? `${row.measured ? "" : "~"}${duration(row.seconds)}` : "")],
    ["whiskers of time", (row) => row.low, (row) => interval(row.low, row.high, duration)],
    ["speedup", (row) => row.speedup?.value, (row) => (row.speedup ? `${row.speedup.guess ? "~" : ""}${factor(row.speedup.value)}` : "")],
    ["whiskers of speedup", (row) => row.speedup?.low, (row) => interval(row.speedup?.low, row.speedup?.high, factor)],
    ["GFLOP/s", (row) => row.rate, (row) => (row.rate === null ? "" : digits(row.rate))],
    ["compile", (row) => row.compile, (row) => (row.compile ? duration(row.compile) : "")],
    ["error / bound", (row) => row.bound, (row) => (row.bound === null ? "" : digits(row.bound))],
    ["error (ulp)", (row) => row.ulp, (row) => (row.ulp === null ? "" : digits(row.ulp))],
    ["processes", (row) => row.processes, (row) => `${row.processes}`],
  ];
  const sorting = { column: null, down: false };
  const cellTable = (rows) => {
    const value = sorting.column === null ? () => 0 : COLUMNS[sorting.column][1];
    const compare = (a, b) => {
      const [x, y] = [value(a) ?? null, value(b) ?? null];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return sorting.down ? -order : order;
    };
    const head = COLUMNS.map(([heading], k) => {
      const button = element("button", { type: "button" }, heading);
      button.addEventListener("click", () => {
        Object.assign(sorting, { down: sorting.column === k && !sorting.down, column: k });
        cellTable(rows);
        $("cells").querySelectorAll("th button")[k].focus();
      });
      const made = k === 0 || k === 2 ? element("th", { scope: "col" }, button) : number("th", button);
      made.setAttribute("aria-sort", sorting.column !== k ? "none" : sorting.down ? "descending" : "ascending");
      return made;
    });
    const body = [...rows].sort(compare).map((row) => element("tr", {}, ...COLUMNS.map(([, , words], k) =>
      (k === 0 || k === 2 ? element("td", {}, words(row)) : number("td", words(row))))));
    $("cells").replaceChildren(element("caption", { class: "faint" }, "Press a heading to sort."), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
  };

  const ladder = async (rows, sizes) => {
    const three = [sizes[0], sizes[Math.floor(sizes.length / 2)], sizes.at(-1)];
    const rungs = rows.filter((row) => three.includes(row.m)).flatMap((row) => {
      const { below, idea, label, colour } = implementations[cells.implementation[row.k]];
      const found = below === null || data.speedups[below].fallbacks[state.panel] ? null : speedup(below, row.k);
      return found && !found.guess ? [{
        rung: `${label} / ${implementations[below].label}`, idea, colour, size: `${row.m}`,
        factor: found.value, low: found.low ?? found.value, high: found.high ?? found.value,
        "batch size": `${row.m}`, speedup: factor(found.value), interval: interval(found.low, found.high, factor),
      }] : [];
    });
    $("ladder-figure").hidden = rungs.length === 0;
    if (!rungs.length) return;
    const ends = rungs.flatMap((row) => [row.low, row.high, 1]);
    await show("ladder", { rungs, unit: [{ factor: 1 }] }, { xticks: decades(...padded(ends, 10)) });
  };

  const accuracy = async (rows, largest) => {
    const drawn = rows.filter((row) => row.m === largest && row.ulp > 0 && row.speedup)
      .map((row) => ({ ...row, factor: row.speedup.value, ...tooltip(row) }));
    $("accuracy-figure").hidden = drawn.length === 0;
    if (!drawn.length) return;
    const ticks = (key) => decades(...padded(drawn.map((row) => row[key]), 10));
    await show("accuracy", { rows: drawn }, { xticks: ticks("factor"), yticks: ticks("ulp") });
  };

  // Beside each implementation's code, its figures.
  const figures = (rows) => {
    const columns = COLUMNS.filter(([heading]) => ["m", "time", "speedup", "error / bound"].includes(heading));
    document.querySelectorAll(".figures").forEach((place) => {
      const own = rows.filter((row) => cells.implementation[row.k] === Number(place.dataset.implementation));
      const head = element("tr", {}, ...columns.map(([heading]) => number("th", heading)));
      const body = own.map((row) => element("tr", {}, ...columns.map(([, , words]) => number("td", words(row) || row.mark))));
      place.replaceChildren(own.length ? element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)) : "It was not raced here.");
    });
  };

  const draw = async () => {
    const rows = rowsShown();
    const { words, whiskers, threads } = panels[state.panel];
    const base = implementations[state.baseline].label;
    const { fallbacks } = data.speedups[state.baseline];
    const where = fallbacks[state.panel] ? `${words}; ${fallbacks[state.panel]}` : words;
    $("speedup-title").textContent = `Times as fast as ${base} (${where})`;
    $("time-title").textContent = `Time of one call (${words})`;
    $("answer").textContent = howMuch(rows);
    $("which").textContent = which(rows);
    $("permalink").href = address();
    document.querySelectorAll(".whiskers").forEach((caption) => { caption.textContent = `${whiskers[0].toUpperCase()}${whiskers.slice(1)}. Hollow: predicted.`; });
    heat(rows);
    cellTable(rows);
    figures(rowsOfPanel());
    const drawn = rows.filter((row) => threads > 1 || !row.parallel);
    const sizes = sizesOf(drawn.filter((row) => row.measured));
    await against("speedup", drawn, (row) => ({ value: row.speedup?.value, low: row.speedup?.low, high: row.speedup?.high, guess: !!row.speedup?.guess }), factor);
    await against("time", drawn, (row) => ({ value: row.seconds, guess: !row.measured }), duration);
    const { value, low, high } = data.scaling;
    $("threads-title").textContent = `Times as fast as on one thread, on ${threads} (${words})`;
    await lines("threads", drawn.filter((row) => value[row.k] !== null), (row) => ({ value: value[row.k], low: low[row.k], high: high[row.k], guess: false }), threads);
    await ladder(drawn, sizes);
    await accuracy(drawn, sizes.at(-1));
    document.body.dataset.drawn = address();
  };

  // After a choice the address of the page is that of what is shown.
  const chosen = () => {
    offer();
    history.replaceState(null, "", address());
    draw();
  };
  const selects = {};
  const control = (label, options, choose) => {
    if (options.length < 2) return element("label", {}, label, element("output", {}, `${options[0]}`));
    const select = element("select", { id: `choose-${label.replace(" ", "-")}` });
    options.forEach((words, k) => select.append(element("option", { value: `${k}` }, `${words}`)));
    select.addEventListener("change", () => { choose(Number(select.value)); chosen(); });
    selects[label] = select;
    return element("label", {}, label, select);
  };
  const KEYS = ["workload", "phase", "dtype", "threads", "ranks"];
  const options = KEYS.map((key) => [...new Set(panels.map((panel) => panel[key]))]);
  const sizes = [...new Set(cells.m)].sort((a, b) => a - b);
  const everySize = sizes.length > 1 ? ["all", ...sizes] : sizes;
  const boxes = implementations.map(({ label }, k) => {
    const box = element("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => { state.hidden[box.checked ? "delete" : "add"](k); chosen(); });
    return element("label", {}, box, name(label));
  });
  const summary = element("summary", {}, "");
  const filter = element("details", { class: "filter", id: "filter" }, summary,
    element("fieldset", {}, element("legend", { class: "faint" }, "Implementations that are shown"), ...boxes));

  // What the controls say and offer: a batch size or a baseline without a time in this panel cannot be chosen.
  const offer = () => {
    const raced = new Set(cellsOf(state.panel).map((k) => cells.m[k]));
    if (!raced.has(state.m)) state.m = null;
    if (!served(state.baseline)) state.baseline = Math.max(implementations.findIndex((_, k) => served(k)), 0);
    const set = (label, place, enabled) => {
      if (!selects[label]) return;
      [...selects[label].options].forEach((option, k) => { option.disabled = !enabled(k); });
      selects[label].value = `${place}`;
    };
    KEYS.forEach((key, k) => set(key, options[k].indexOf(panels[state.panel][key]), () => true));
    set("batch size", state.m === null ? 0 : everySize.indexOf(state.m), (k) => k === 0 || raced.has(everySize[k]));
    set("baseline", state.baseline, served);
    boxes.forEach((box, k) => { box.querySelector("input").checked = !state.hidden.has(k); });
    const shown = implementations.length - state.hidden.size;
    summary.textContent = `implementations: ${state.hidden.size ? `${shown} of ${implementations.length}` : "all"}`;
  };
  // Not every combination was raced: the first that agrees with most of what is wanted.
  const nearest = (wanted) => {
    const alike = (panel) => Object.keys(wanted).filter((key) => `${panel[key]}` === `${wanted[key]}`).length;
    state.panel = panels.reduce((best, panel, k) => (alike(panel) > alike(panels[best]) ? k : best), state.panel);
  };
  // What was just chosen is kept, and as much as can be of the rest.
  const choose = (key, value) => {
    const now = panels[state.panel];
    const able = panels.map((panel, k) => k).filter((k) => panels[k][key] === value);
    const alike = (k) => KEYS.filter((one) => panels[k][one] === now[one]).length;
    state.panel = able.reduce((best, k) => (alike(k) > alike(best) ? k : best));
  };

  // What is shown, as the fragment of an address, and back.
  const address = () => {
    const words = new URLSearchParams(KEYS.map((key) => [key, panels[state.panel][key]]));
    words.set("m", state.m ?? "all");
    words.set("baseline", implementations[state.baseline].label);
    [...state.hidden].sort((a, b) => a - b).forEach((k) => words.append("without", implementations[k].label));
    return `#${words}`;
  };
  const recall = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    const place = (label) => implementations.findIndex((one) => one.label === label);
    if (!KEYS.some((key) => words.has(key))) return;
    nearest(Object.fromEntries(KEYS.filter((key) => words.has(key)).map((key) => [key, words.get(key)])));
    state.m = Number(words.get("m")) || null;
    if (place(words.get("baseline")) >= 0) state.baseline = place(words.get("baseline"));
    state.hidden = new Set(words.getAll("without").map(place).filter((k) => k >= 0));
  };

  const csv = (lines) => lines.map((line) => line.map((value) => {
    const words = `${value ?? ""}`;
    return /[",\n\r]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words;
  }).join(",")).join("\r\n");
  // Every cell with all digits; of another table what it shows.
  const tidy = () => {
    const { workload, phase, dtype, threads, ranks } = panels[state.panel];
    const head = ["workload", "phase", "dtype", "threads", "ranks", "implementation", "batch_size", "status", "seconds", "low", "high", "processes",
      "baseline", "speedup", "speedup_low", "speedup_high", "pairs", "gflops", "compile_seconds", "error_of_bound", "error_ulp"];
    const base = implementations[state.baseline].label;
    return [head, ...rowsShown().map((row) => [workload, phase, dtype, threads, ranks, row.implementation, row.m, row.status,
      row.seconds, row.low, row.high, row.processes, base, row.speedup?.value, row.speedup?.low, row.speedup?.high, row.speedup?.pairs,
      row.rate, row.compile, row.bound, row.ulp])];
  };
  const wordsOf = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim().replace(/\s+/g, " ")));
  document.querySelectorAll(".download").forEach((button) => button.addEventListener("click", () => {
    const { table } = button.dataset;
    const content = csv(table === "cells" ? tidy() : wordsOf($(table)));
    const href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    element("a", { href, download: `${table}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60000);
  }));

  $("controls").append(...KEYS.map((key, k) => control(key, options[k], (place) => choose(key, options[k][place]))),
    control("batch size", everySize, (place) => { state.m = place ? everySize[place] : null; }),
    control("baseline", implementations.map(({ label }) => label), (place) => { state.baseline = place; }), filter);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => { recall(); offer(); draw(); });
  recall();
  offer();

  document.querySelectorAll('[role="tablist"]').forEach((list) => {
    const tabs = [...list.querySelectorAll('[role="tab"]')];
    const select = (tab) => {
      tabs.forEach((one) => {
        one.setAttribute("aria-selected", `${one === tab}`);
        one.tabIndex = one === tab ? 0 : -1;
        $(one.getAttribute("aria-controls")).hidden = one !== tab;
      });
      tab.focus();
    };
    tabs.forEach((tab, k) => {
      tab.addEventListener("click", () => select(tab));
      tab.addEventListener("keydown", (event) => {
        const to = { ArrowRight: k + 1, ArrowLeft: k - 1, Home: 0, End: tabs.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        select(tabs[(to + tabs.length) % tabs.length]);
      });
    });
  });
  draw();
})();
