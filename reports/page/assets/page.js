"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { cells, specs } = data;
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

  // Geometric mean and Student's interval on the logarithms, as reports/statistics.py has them.
  const mean = (values) => {
    const logs = values.map(Math.log);
    const n = logs.length;
    const centre = logs.reduce((sum, value) => sum + value, 0) / n;
    if (n < 2) return { value: Math.exp(centre), low: null, high: null };
    const variance = logs.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (n - 1);
    const half = data.t[n - 2] * Math.sqrt(variance / n);
    return { value: Math.exp(centre), low: Math.exp(centre - half), high: Math.exp(centre + half) };
  };

  const count = cells.m.length;
  const panelKeys = ["workload", "phase", "dtype", "threads"];
  const measured = (k) => cells.fastest[k].length > 0;
  const index = new Map();
  const key = (panel, m, implementation) => [...panelKeys.map((name) => panel[name]), m, implementation].join(" ");
  for (let k = 0; k < count; k++) {
    index.set(key({ workload: cells.workload[k], phase: cells.phase[k], dtype: cells.dtype[k], threads: cells.threads[k] },
      cells.m[k], cells.implementation[k]), k);
  }
  const timeOf = (k) => {
    if (!measured(k)) return null;
    const found = mean(cells.fastest[k]);
    if (cells.fastest[k].length === 1) [found.low, found.high] = [cells.fastest[k][0], cells.median[k][0]];
    return found;
  };
  const skipped = (k) => data.status[cells.status[k]] === "skipped";
  const secondsOf = (k) => (measured(k) ? timeOf(k).value : skipped(k) ? cells.predicted_seconds[k] : null);

  // The ratio of two cells, paired within a process where one ran both, as reports/tables.py has it.
  const ratio = (base, own) => {
    if (base === undefined || own === undefined) return null;
    if (!measured(base) || !measured(own)) {
      const [above, below] = [secondsOf(base), secondsOf(own)];
      return above && below ? { value: above / below, low: null, high: null, pairs: 0, guess: true } : null;
    }
    const partner = new Map(cells.process[base].map((process, j) => [process, j]));
    const pairs = [];
    cells.process[own].forEach((process, j) => {
      if (partner.has(process)) pairs.push([partner.get(process), j]);
    });
    const [a, b] = [timeOf(base), timeOf(own)];
    if (!pairs.length) {
      const half = Math.hypot(Math.log(a.high / a.low) / 2, Math.log(b.high / b.low) / 2);
      const value = a.value / b.value;
      return { value, low: value * Math.exp(-half), high: value * Math.exp(half), pairs: 0, guess: false };
    }
    const found = mean(pairs.map(([i, j]) => cells.fastest[base][i] / cells.fastest[own][j]));
    if (pairs.length === 1) {
      const [[i, j]] = pairs;
      found.low = cells.fastest[base][i] / cells.median[own][j];
      found.high = cells.median[base][i] / cells.fastest[own][j];
    }
    return { ...found, pairs: pairs.length, guess: false };
  };

  const state = { ...data.panel, baseline: data.baseline };
  const inPanel = (k, panel) => panelKeys.every((name) => cells[name][k] === panel[name]);
  const members = (panel) => [...Array(count).keys()].filter((k) => inPanel(k, panel));

  // A baseline that never ran in this panel lends its times of one thread or float64.
  const lender = () => {
    const candidates = [{}, { threads: data.one }, { dtype: data.float64 }, { dtype: data.float64, threads: data.one }]
      .map((change) => ({ ...state, ...change }));
    return candidates.find((panel) => members(panel).some((k) => cells.implementation[k] === state.baseline && measured(k)))
      || state;
  };

  const interval = (found, words) => (found && Number.isFinite(found.low) && found.low !== null
    ? `${words(found.low)} to ${words(found.high)}` : "none");

  const compute = () => {
    const base = lender();
    const list = members(state);
    const sizes = [...new Set(list.map((k) => cells.m[k]))].sort((a, b) => a - b);
    const timedSizes = sizes.filter((m) => list.some((k) => cells.m[k] === m && measured(k)));
    const rows = list.map((k) => {
      const implementation = data.implementations[cells.implementation[k]];
      const time = timeOf(k);
      const itself = cells.implementation[k] === state.baseline && base.dtype === state.dtype && base.threads === state.threads;
      let speedup = ratio(index.get(key(base, cells.m[k], state.baseline)), k);
      if (itself && speedup) speedup = { ...speedup, value: 1, low: 1, high: 1 };
      return {
        k, implementation: implementation.label, colour: implementation.colour, shape: implementation.shape, dash: implementation.dash, m: cells.m[k], time, speedup,
        seconds: secondsOf(k), ulp: cells.error_ulp[k], bound: cells.error_of_bound[k],
        status: data.status[cells.status[k]], mark: data.marks[cells.status[k]], reason: data.reason[cells.reason[k]],
        processes: cells.fastest[k].length, largest: cells.m[k] === timedSizes.at(-1),
        rate: measured(k) && cells.flops[k] ? cells.flops[k] / time.value / 1e9 : null,
        compile: cells.compile_seconds[k],
      };
    });
    return { rows, sizes, timedSizes, base };
  };

  const tooltip = (row) => ({
    implementation: row.implementation, "batch size": `${row.m}`, time: duration(row.seconds), speedup: row.speedup ? factor(row.speedup.value) : "-",
    interval: interval(row.speedup, factor), error: row.bound === null ? "-" : `${digits(row.bound)} of the bound`,
    note: row.status === "measured" ? `${row.processes} process${row.processes === 1 ? "" : "es"}` : `${row.status}: predicted`,
  });

  // Names at line ends, moved apart in the logarithm of the value (reports/layout.py, `spread`).
  const placed = (ends, low, high, height) => {
    const sorted = [...ends].sort((a, b) => a.value - b.value);
    const range = Math.log(high / low);
    const gap = Math.min(range * 15 / height, range / Math.max(sorted.length - 1, 1));
    const blocks = [];
    sorted.forEach((end, k) => {
      let block = [Math.log(end.value) - k * gap, 1];
      while (blocks.length && blocks.at(-1)[0] > block[0]) {
        const [value, members] = blocks.pop();
        block = [(block[0] * block[1] + value * members) / (block[1] + members), block[1] + members];
      }
      blocks.push(block);
    });
    const free = blocks.flatMap(([value, members]) => Array(members).fill(value));
    const most = Math.log(high) - gap * (sorted.length - 1);
    return sorted.map((end, k) => ({ ...end, value: Math.exp(Math.min(Math.max(free[k], Math.log(low)), most) + k * gap) }));
  };

  // Ticks at powers of ten; at 1, 2 and 5 of them too where the axis is short.
  const decades = (low, high) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const step of high / low < 30 ? [1, 2, 5] : [1]) found.push(step * 10 ** power);
    }
    return found.filter((value) => value >= low && value <= high);
  };

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
    const options = { mode: "vega", renderer: "svg", actions: false, tooltip: { theme: "custom" } };
    views[id] = (await vegaEmbed(`#${id}`, specs[id], options)).view;
  };

  const lines = async (id, rows, pick) => {
    const drawn = rows.map((row) => ({ ...row, ...pick(row) })).filter((row) => row.value > 0).map((row) => ({
      implementation: row.implementation, colour: row.colour, shape: row.shape, dash: row.dash, m: row.m, value: row.value,
      low: row.low ?? row.value, high: row.high ?? row.value, guess: row.guess,
      ...tooltip(row),
    }));
    $(id).parentElement.hidden = drawn.length === 0;
    if (!drawn.length) return;
    const values = drawn.flatMap((row) => [row.low, row.high, row.value]);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (id === "speedup") [low, high] = [Math.min(low, 1), Math.max(high, 1)];
    const pad = Math.max((high / low) ** 0.05, 1.25);
    [low, high] = [low / pad, high * pad];
    const ms = drawn.map((row) => row.m);
    let [first, last] = [Math.min(...ms), Math.max(...ms)];
    const air = first === last ? 1.6 : (last / first) ** 0.03;
    [first, last] = [first / air, last * air];
    const ends = new Map();
    drawn.forEach((row) => { if (!ends.has(row.implementation) || ends.get(row.implementation).m < row.m) ends.set(row.implementation, row); });
    const names = placed([...ends.values()].map(({ implementation, colour, shape, value }) => ({ implementation, colour, shape, value })), low, high, 400);
    const datasets = { rows: drawn, names: names.map((name) => ({ ...name, m: last })), frame: [{ m: first, value: low }, { m: last, value: high }], unit: [{ value: 1 }] };
    await show(id, datasets, { xticks: [...new Set(ms)].sort((a, b) => a - b), yticks: decades(low, high) });
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

  const heat = ({ rows, sizes }) => {
    const table = $("heat");
    const head = element("tr", {}, element("th", { scope: "col" }, "implementation"), ...sizes.map((m) => element("th", { scope: "col", class: "number" }, `m = ${m}`)));
    const label = data.implementations[state.baseline].label;
    const names = [...new Set(rows.map((row) => row.implementation))].sort((a, b) => (b === label) - (a === label));
    const body = names.map((name) => {
      const line = element("tr", {}, element("th", { scope: "row" }, element("bdi", {}, name)));
      for (const m of sizes) {
        const row = rows.find((one) => one.implementation === name && one.m === m);
        const cell = element("td");
        line.append(cell);
        if (!row) continue;
        if (row.status !== "measured") {
          cell.className = row.status === "wrong" ? "wrong" : "status";
          cell.append(row.mark, row.seconds ? element("small", {}, `~${duration(row.seconds)}`) : "");
          cell.title = row.reason;
        } else if (name === label || !row.speedup) {
          cell.append(duration(row.seconds));
        } else {
          const { value, low, high, pairs, guess } = row.speedup;
          const half = 100 * (Math.sqrt(high / low) - 1);
          cell.append(`${guess ? "~" : ""}${factor(value)}`, pairs > 1 ? element("small", {}, `±${half.toFixed(half < 9.95 ? 1 : 0)} %`) : "");
          [cell.style.background, cell.style.color] = heatColour(value);
        }
      }
      return line;
    });
    table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
    $("heat-note").textContent = `${label}: time of one call; the others: times as fast, and half the interval's width.`;
  };

  const COLUMNS = [
    ["implementation", (row) => row.implementation, (row) => row.implementation],
    ["m", (row) => row.m, (row) => `${row.m}`],
    ["status", (row) => row.status, (row) => (row.reason ? `${row.status}: ${row.reason}` : row.status)],
    ["time", (row) => row.time?.value, (row) => (row.time ? duration(row.time.value) : row.seconds ? `~${duration(row.seconds)}` : "")],
    ["whiskers of time", (row) => row.time?.low, (row) => interval(row.time, duration)],
    ["speedup", (row) => row.speedup?.value, (row) => (row.speedup ? `${row.speedup.guess ? "~" : ""}${factor(row.speedup.value)}` : "")],
    ["whiskers of speedup", (row) => row.speedup?.low, (row) => interval(row.speedup, factor)],
    ["GFLOP/s", (row) => row.rate, (row) => (row.rate === null ? "" : digits(row.rate))],
    ["compile", (row) => row.compile, (row) => (row.compile ? duration(row.compile) : "")],
    ["error / bound", (row) => row.bound, (row) => (row.bound === null ? "" : digits(row.bound))],
    ["error (ulp)", (row) => row.ulp, (row) => (row.ulp === null ? "" : digits(row.ulp))],
    ["processes", (row) => row.processes, (row) => `${row.processes}`],
  ];
  const sorting = { column: null, down: false };
  const cellTable = (rows) => {
    const value = sorting.column === null ? null : COLUMNS[sorting.column][1];
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      const lacks = (one) => one === null || one === undefined;
      if (lacks(x) || lacks(y)) return lacks(x) - lacks(y);
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return sorting.down ? -order : order;
    };
    const sorted = value ? [...rows].sort(compare) : rows;
    const head = COLUMNS.map(([name], k) => {
      const button = element("button", { type: "button" }, name);
      button.addEventListener("click", () => {
        Object.assign(sorting, { down: sorting.column === k && !sorting.down, column: k });
        cellTable(rows);
        $("cells").querySelectorAll("th button")[k].focus();
      });
      const order = sorting.column === k ? (sorting.down ? "descending" : "ascending") : "none";
      return element("th", { scope: "col", "aria-sort": order, ...(k > 2 || k === 1 ? { class: "number" } : {}) }, button);
    });
    const body = sorted.map((row) => element("tr", {}, ...COLUMNS.map(([, , words], k) =>
      element("td", k > 2 || k === 1 ? { class: "number" } : {}, k ? words(row) : element("bdi", {}, words(row))))));
    $("cells").replaceChildren(element("caption", { class: "faint" }, "Press a heading to sort."), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
  };

  const ladder = async ({ timedSizes }) => {
    const sizes = [...new Set([timedSizes[0], timedSizes[Math.floor(timedSizes.length / 2)], timedSizes.at(-1)])];
    const rungs = data.implementations.flatMap((implementation, place) => (implementation.below === null ? [] : sizes.flatMap((m) => {
      const found = ratio(index.get(key(state, m, implementation.below)), index.get(key(state, m, place)));
      return found && !found.guess ? [{
        rung: `${implementation.label} / ${data.implementations[implementation.below].label}`, idea: implementation.idea, colour: implementation.colour, size: `${m}`,
        factor: found.value, low: found.low ?? found.value, high: found.high ?? found.value,
        "batch size": `${m}`, speedup: factor(found.value), interval: interval(found, factor),
      }] : [];
    })));
    $("ladder-figure").hidden = rungs.length === 0;
    if (!rungs.length) return;
    const ends = rungs.flatMap((row) => [row.low, row.high, row.factor, 1]);
    await show("ladder", { rungs, unit: [{ factor: 1 }] }, { xticks: decades(Math.min(...ends) / 10, Math.max(...ends) * 10) });
  };

  const accuracy = async ({ rows }) => {
    const drawn = rows.filter((row) => row.largest && row.ulp > 0 && row.speedup)
      .map((row) => ({ implementation: row.implementation, colour: row.colour, shape: row.shape, largest: true, ulp: row.ulp, speedup_value: row.speedup.value, ...tooltip(row) }));
    $("accuracy-figure").hidden = drawn.length === 0;
    if (!drawn.length) return;
    const ticks = (values) => decades(Math.min(...values) / 10, Math.max(...values) * 10);
    await show("accuracy", { rows: drawn }, { xticks: ticks(drawn.map((row) => row.speedup_value)), yticks: ticks(drawn.map((row) => row.ulp)) });
  };

  // Beside each implementation's code, its figures.
  const figures = ({ rows }) => {
    const words = ["m", "time", "speedup", "error / bound"];
    document.querySelectorAll(".figures").forEach((place) => {
      const own = rows.filter((row) => cells.implementation[row.k] === Number(place.dataset.implementation));
      const head = element("tr", {}, ...words.map((name) => element("th", { scope: "col", class: "number" }, name)));
      const body = own.map((row) => element("tr", {}, ...[0, 1, 2, 3].map((k) => element("td", { class: "number" },
        [`${row.m}`, row.time ? duration(row.time.value) : row.mark, row.speedup ? factor(row.speedup.value) : "", row.bound === null ? "" : digits(row.bound)][k]))));
      place.replaceChildren(own.length ? element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)) : "It was not raced here.");
    });
  };

  const whiskers = ({ rows }) => {
    const counts = rows.filter((row) => row.time).map((row) => row.processes);
    if (!counts.length) return "Nothing was measured here.";
    const [least, most] = [Math.min(...counts), Math.max(...counts)];
    if (most === 1) return "Whiskers: rounds of one process, fastest to median, no interval.";
    if (least === 1) return `Whiskers: 95 % interval over up to ${most} processes; of one, fastest round to median.`;
    return `Whiskers: 95 % interval over ${least === most ? most : `${least} to ${most}`} processes.`;
  };

  const describe = () => {
    const threads = data.threads[state.threads];
    return `${data.workload[state.workload]} ${data.shape[state.workload]}, ${data.phase[state.phase]}, ${data.dtype[state.dtype]}, ${threads} thread${threads === 1 ? "" : "s"}`;
  };

  const draw = async () => {
    const found = compute();
    const label = data.implementations[state.baseline].label;
    const lent = found.base.dtype !== state.dtype || found.base.threads !== state.threads
      ? `; ${label} in ${data.dtype[found.base.dtype]}, threads: ${data.threads[found.base.threads]}` : "";
    $("speedup-title").textContent = `Times as fast as ${label} (${describe()}${lent})`;
    $("time-title").textContent = `Time of one call (${describe()})`;
    document.querySelectorAll(".whiskers").forEach((caption) => { caption.textContent = `${whiskers(found)} Hollow: predicted.`; });
    $("status").textContent = `Showing ${describe()}, over ${label}: ${found.rows.length} cells.`;
    heat(found);
    cellTable(found.rows);
    figures(found);
    await lines("speedup", found.rows, (row) => ({ value: row.speedup?.value, low: row.speedup?.low, high: row.speedup?.high, guess: !!row.speedup?.guess }));
    await lines("time", found.rows, (row) => ({ value: row.seconds, low: row.time?.low, high: row.time?.high, guess: !row.time }));
    await ladder(found);
    await accuracy(found);
    document.body.dataset.drawn = describe() + label;
  };

  const control = (name, label, options) => {
    const select = element("select", { id: `choose-${name}`, name });
    options.forEach((words, k) => select.append(element("option", { value: `${k}` }, `${words}`)));
    select.value = `${state[name]}`;
    select.addEventListener("change", () => {
      state[name] = Number(select.value);
      // Not every combination was raced: the nearest that was, keeping what was just chosen.
      if (panelKeys.includes(name) && !members(state).length) {
        const near = [...Array(count).keys()].filter((k) => cells[name][k] === state[name])
          .sort((a, b) => panelKeys.filter((one) => cells[one][b] === state[one]).length - panelKeys.filter((one) => cells[one][a] === state[one]).length)[0];
        if (near !== undefined) panelKeys.forEach((one) => { state[one] = cells[one][near]; $(`choose-${one}`).value = `${state[one]}`; });
      }
      draw();
    });
    return element("label", {}, label, select);
  };
  $("controls").append(
    control("workload", "workload", data.workload.map((name, k) => `${name} ${data.shape[k]}`)),
    control("phase", "phase", data.phase), control("dtype", "dtype", data.dtype), control("threads", "threads", data.threads),
    control("baseline", "baseline", data.implementations.map((implementation) => implementation.label)));
  $("controls").addEventListener("submit", (event) => event.preventDefault());

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
  if (count) draw();
})();
