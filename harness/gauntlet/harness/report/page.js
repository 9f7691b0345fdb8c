"use strict";
// The charts of one run. Everything is drawn on canvas from the JSON above; times are microseconds since the run began.
const data = JSON.parse(document.getElementById("data").textContent);
const OUTCOMES = ["ok", "failed", "unknown"];
const LEFT = 58, RIGHT = 12;
const tip = document.getElementById("tip");
const root = document.documentElement;

// ---- colours and theme -------------------------------------------------------------------------------------------
let css = {};
function readColours() {
  const style = getComputedStyle(root);
  css = new Proxy({}, { get: (_, name) => style.getPropertyValue("--" + name).trim() });
}
function setTheme(dark) { root.dataset.theme = dark ? "dark" : "light"; readColours(); drawAll(); }
const media = matchMedia("(prefers-color-scheme: dark)");
media.addEventListener("change", event => setTheme(event.matches));
document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));

// ---- words -------------------------------------------------------------------------------------------------------
const counted = us => Math.round(us / 1000);  // lines or events, of a history without clock times
const seconds = us => data.unit ? `${data.unit} ${counted(us)}` : (us / 1e6).toFixed(us < 1e7 ? 4 : 3) + " s";
function duration(us) {
  if (data.unit) return `${counted(us)} ${data.unit}${counted(us) === 1 ? "" : "s"}`;
  if (us < 1000) return Math.round(us) + " \u00b5s";
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 2 : 1) + " ms";
  return (us / 1e6).toFixed(2) + " s";
}
const faultKind = fault => ["network", "client", "process"].includes(fault.kind) ? fault.kind : "other";
const faultsAt = (from, to) => data.faults.filter(f => !f.refused && f.from <= to && f.to >= from);
function faultWords(fault) {
  const targets = fault.targets.length ? " on " + fault.targets.join(", ") : "";
  return fault.name + targets;
}
function activeWords(from, to) {
  const active = faultsAt(from, to);
  return active.length ? "\nFaults: " + active.map(f => f.name).join(", ") : "";
}

// ---- points ------------------------------------------------------------------------------------------------------
function unpack({ columns, names }) {
  const points = [];
  let time = 0, id = 0;
  for (let i = 0; i < columns.t.length; i++) {
    time += columns.t[i];
    id += columns.id[i];
    points.push({ from: time, took: columns.d[i], outcome: columns.o[i], op: names.ops[columns.p[i]],
      member: names.members[columns.m[i]], client: names.clients[columns.c[i]], key: names.keys[columns.k[i]],
      error: names.errors[columns.e[i]], id, marked: data.marked.includes(id) });
  }
  return points;
}
const points = unpack(data.points);
const view = { from: 0, to: data.end };

// ---- canvas ------------------------------------------------------------------------------------------------------
const charts = [];
function chart(parent, name, height, draw, hit) {
  const box = document.createElement("div");
  box.className = "chart";
  if (name) {
    const title = document.createElement("p");
    title.className = "name";
    title.textContent = name;
    box.append(title);
  }
  const canvas = document.createElement("canvas");
  box.append(canvas);
  parent.append(box);
  const self = { canvas, height, draw, hit, width: 0 };
  self.paint = () => {
    const ratio = window.devicePixelRatio || 1;
    self.width = canvas.clientWidth || parent.clientWidth;
    canvas.style.height = self.height + "px";
    canvas.width = Math.round(self.width * ratio);
    canvas.height = Math.round(self.height * ratio);
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, self.width, self.height);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    self.draw(c, self.width, self.height);
  };
  canvas.addEventListener("pointermove", event => {
    const text = self.hit(event.offsetX, event.offsetY);
    if (!text) { tip.style.display = "none"; return; }
    tip.textContent = text;
    tip.style.display = "block";
    const right = event.clientX + 16 + tip.offsetWidth > innerWidth;
    tip.style.left = (right ? event.clientX - 14 - tip.offsetWidth : event.clientX + 16) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 6)) + "px";
  });
  canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  charts.push(self);
  return self;
}
function drawAll() { for (const one of charts) one.paint(); }

const xOf = (us, width, v = view) => LEFT + (us - v.from) / (v.to - v.from) * (width - LEFT - RIGHT);
const timeAt = (x, width, v = view) => v.from + (x - LEFT) / (width - LEFT - RIGHT) * (v.to - v.from);
function ticks(from, to, wanted) {
  const raw = (to - from) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return { found, step };
}
function timeAxis(c, width, bottom, top, v = view) {
  const { found, step } = ticks(v.from, v.to, Math.max(3, width / 120));
  const digits = Math.max(0, Math.ceil(-Math.log10(step / 1e6) - 1e-9));
  c.textAlign = "center";
  for (const at of found) {
    const x = xOf(at, width, v);
    c.strokeStyle = css.line;
    c.lineWidth = 1;
    c.beginPath(); c.moveTo(x, top); c.lineTo(x, bottom); c.stroke();
    c.fillStyle = css.soft;
    if (!data.unit) c.fillText((at / 1e6).toFixed(digits) + " s", x, bottom + 10);
    else if (at % 1000 === 0) c.fillText(seconds(at), x, bottom + 10);
  }
}
function bands(c, width, top, bottom, v = view) {
  for (const fault of data.faults) {
    if (fault.refused) continue;
    const a = Math.max(LEFT, xOf(fault.from, width, v)), b = Math.min(width - RIGHT, xOf(fault.to, width, v));
    if (b <= a) continue;
    c.globalAlpha = .1;
    c.fillStyle = css[faultKind(fault)];
    c.fillRect(a, top, Math.max(1.5, b - a), bottom - top);
    c.globalAlpha = 1;
  }
}
function clip(c, width, top, bottom, paint) {
  c.save();
  c.beginPath(); c.rect(LEFT, top, width - LEFT - RIGHT, bottom - top); c.clip();
  paint();
  c.restore();
}

// ---- latency -----------------------------------------------------------------------------------------------------
const TOP = 8, BOTTOM = 22;
let low = 2, high = 6;
if (points.length) {
  const took = points.map(p => p.took).sort((a, b) => a - b);
  low = Math.floor(Math.log10(took[0]));
  high = Math.max(low + 1, Math.ceil(Math.log10(took[took.length - 1] + 1)));
}
const yOf = (took, height) => height - BOTTOM - (Math.log10(took) - low) / (high - low) * (height - TOP - BOTTOM);
function drawLatency(c, width, height) {
  bands(c, width, TOP, height - BOTTOM);
  timeAxis(c, width, height - BOTTOM, TOP);
  c.textAlign = "right";
  for (let power = low; power <= high; power++) {
    const y = yOf(10 ** power, height);
    c.strokeStyle = css.line;
    c.beginPath(); c.moveTo(LEFT, y); c.lineTo(width - RIGHT, y); c.stroke();
    c.fillStyle = css.soft;
    c.fillText(data.unit ? (power < 3 ? "" : String(10 ** (power - 3))) : ["1 \u00b5s", "10 \u00b5s", "100 \u00b5s", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"][power] || "", LEFT - 7, y);
  }
  clip(c, width, 0, height - BOTTOM + 4, () => {
    const dense = points.length > 12000, small = dense ? .55 : 1;
    for (const outcome of [0, 1, 2]) {
      c.fillStyle = c.strokeStyle = css[OUTCOMES[outcome]];
      c.globalAlpha = outcome === 0 ? (dense ? .45 : .65) : (dense ? .5 : .9);
      c.lineWidth = 1.4;
      for (const p of points) {
        if (p.outcome !== outcome || p.marked || p.from < view.from || p.from > view.to) continue;
        const x = xOf(p.from, width), y = yOf(p.took, height), r = dense ? 1.3 : 1.9;
        c.beginPath();
        if (outcome === 0) { c.arc(x, y, r, 0, 7); c.fill(); }
        else if (outcome === 1) { const d = 2.6 * small; c.moveTo(x - d, y - d); c.lineTo(x + d, y + d); c.moveTo(x + d, y - d); c.lineTo(x - d, y + d); c.stroke(); }
        else { const d = 3.8 * small; c.moveTo(x, y - d); c.lineTo(x + d, y); c.lineTo(x, y + d); c.lineTo(x - d, y); c.closePath(); c.fill(); }
      }
    }
    c.globalAlpha = 1;
    for (const p of points) if (p.marked) {
      const x = xOf(p.from, width), y = yOf(p.took, height);
      c.fillStyle = css[OUTCOMES[p.outcome]];
      c.beginPath(); c.arc(x, y, 3, 0, 7); c.fill();
      c.strokeStyle = css.bad; c.lineWidth = 2.5;
      c.beginPath(); c.arc(x, y, 7, 0, 7); c.stroke();
      c.fillStyle = css.bad; c.textAlign = "left"; c.font = "bold 12px system-ui";
      c.fillText(String(data.marked.indexOf(p.id) + 1), x + 9, y - 7);
      c.font = "12px system-ui, sans-serif";
    }
  });
}
function hitLatency(x, y) {
  const width = this.width, height = this.height;
  let best = null, nearest = 100;
  for (const p of points) {
    const dx = xOf(p.from, width) - x;
    if (dx > 9 || dx < -9) continue;
    const dy = yOf(p.took, height) - y, away = dx * dx + dy * dy - (p.marked ? 30 : 0);
    if (away < nearest) { nearest = away; best = p; }
  }
  if (best) {
    return `${best.op} ${best.key}\nclient ${best.client} on ${best.member || "?"}, ${OUTCOMES[best.outcome]} after ${duration(best.took)}\n` +
      `called at ${seconds(best.from)} (operation ${best.id})` + (best.error ? "\n" + best.error : "") +
      activeWords(best.from, best.from + best.took);
  }
  if (x < LEFT || x > width - RIGHT) return "";
  const at = timeAt(x, width), active = faultsAt(at, at);
  return active.length ? active.map(f => `${faultWords(f)}\n${seconds(f.from)} to ${seconds(f.to)}`).join("\n") : "";
}

// ---- rate --------------------------------------------------------------------------------------------------------
function drawRate(c, width, height) {
  const { rate } = data, count = rate.ok.length, top = 6, bottom = height - 6;
  let most = 1;
  for (let i = 0; i < count; i++) most = Math.max(most, rate.ok[i] + rate.failed[i] + rate.unknown[i]);
  bands(c, width, top, bottom);
  c.textAlign = "right";
  for (const value of ticks(0, most, 3).found) {
    const y = bottom - value / most * (bottom - top);
    c.strokeStyle = css.line; c.lineWidth = 1;
    c.beginPath(); c.moveTo(LEFT, y); c.lineTo(width - RIGHT, y); c.stroke();
    c.fillStyle = css.soft;
    c.fillText(value + "/s", LEFT - 7, Math.min(bottom - 4, y));
  }
  clip(c, width, 0, height, () => {
    for (let i = 0; i < count; i++) {
      const a = xOf(i * rate.width_us, width), b = xOf(Math.min(data.end, (i + 1) * rate.width_us), width);
      let y = bottom;
      for (const outcome of OUTCOMES) {
        const h = rate[outcome][i] / most * (bottom - top);
        c.fillStyle = css[outcome];
        c.globalAlpha = outcome === "ok" ? .75 : 1;
        if (h > 0) c.fillRect(a, y - h, Math.max(1, b - a - (b - a > 4 ? 1 : 0)), h);
        y -= h;
      }
      c.globalAlpha = 1;
    }
  });
}
function hitRate(x) {
  const i = Math.floor(timeAt(x, this.width) / data.rate.width_us);
  if (x < LEFT || !(i in data.rate.ok)) return "";
  const from = i * data.rate.width_us, to = from + data.rate.width_us;
  return `${seconds(from)} to ${seconds(to)}\n` + OUTCOMES.map(o => `${o} ${data.rate[o][i]}/s`).join("\n") + activeWords(from, to);
}

// ---- leaders and faults ------------------------------------------------------------------------------------------
const memberColour = member => css["m" + (Math.max(0, data.members.indexOf(member)) % 6)];
function strip(c, width, y, height, from, to, fill, label, weak, v = view, short = "") {
  const a = xOf(from, width, v), b = xOf(to, width, v), w = Math.max(2, b - a);
  if (b < LEFT || a > width) return;
  c.globalAlpha = weak ? .25 : .85;
  c.fillStyle = fill;
  c.fillRect(a, y, w, height);
  c.globalAlpha = 1;
  const visible = Math.min(b, width - RIGHT) - Math.max(a, LEFT);
  if (c.measureText(label).width + 10 > visible) label = short;
  if (label && c.measureText(label).width + 6 < visible) {
    c.fillStyle = weak ? css.text : css.card;
    c.textAlign = "left";
    c.fillText(label, Math.max(a, LEFT) + 5, y + height / 2 + .5);
  }
}
function drawLeaders(c, width, height) {
  clip(c, width, 0, height, () => {
    for (const span of data.leaders) {
      const label = span.member ? `${span.member}, term ${span.term}` : "no leader";
      strip(c, width, 1, height - 3, span.from, span.to, span.member ? memberColour(span.member) : css.failed, label, !span.member);
    }
  });
}
function hitLeaders(x) {
  const at = timeAt(x, this.width), span = data.leaders.find(s => s.from <= at && at < s.to);
  return span && x >= LEFT ? `${span.member ? span.member + " leads in term " + span.term : "no leader known"}\n${seconds(span.from)} to ${seconds(span.to)}` : "";
}
const LANE = 19;
const lanes = [];
for (const fault of data.faults.filter(f => !f.refused)) {
  let lane = lanes.findIndex(last => last.to <= fault.from);
  if (lane < 0) { lanes.push(null); lane = lanes.length - 1; }
  lanes[lane] = fault;
  fault.lane = lane;
}
function drawFaults(c, width, height) {
  clip(c, width, 0, height, () => {
    for (const fault of data.faults) if (!fault.refused) {
      strip(c, width, fault.lane * LANE + 1, LANE - 3, fault.from, fault.to, css[faultKind(fault)], fault.name, false, view, fault.id);
    }
  });
}
function hitFaults(x, y) {
  const at = timeAt(x, this.width), lane = Math.floor(y / LANE), slack = 3 * (view.to - view.from) / this.width;
  const fault = data.faults.find(f => !f.refused && f.lane === lane && f.from - slack <= at && at <= f.to + slack);
  return fault && x >= LEFT ? `${faultWords(fault)}\n${seconds(fault.from)} to ${seconds(fault.to)}\n${fault.bit ? "seen to bite" : "not seen to bite"}` : "";
}

// ---- the run -----------------------------------------------------------------------------------------------------
function zoomable(one, v, all, redraw) {
  let start = null;
  one.canvas.addEventListener("pointerdown", event => { start = event.offsetX; one.canvas.setPointerCapture(event.pointerId); });
  one.canvas.addEventListener("pointerup", event => {
    if (start === null) return;
    const a = timeAt(Math.min(start, event.offsetX), one.width, v), b = timeAt(Math.max(start, event.offsetX), one.width, v);
    if (Math.abs(event.offsetX - start) > 6) { v.from = Math.max(all.from, a); v.to = Math.min(all.to, b); redraw(); }
    start = null;
  });
  one.canvas.addEventListener("dblclick", () => { Object.assign(v, all); redraw(); });
}
const run = document.getElementById("charts");
const whole = { from: 0, to: data.end };
const stacked = [chart(run, data.unit ? `Duration in ${data.unit}s (log scale) at the ${data.unit} of the call` : "Latency (log scale) at the time of the call", 330, drawLatency, hitLatency)];
if (data.faults.some(f => !f.refused)) stacked.push(chart(run, "Faults", lanes.length * LANE + 2, drawFaults, hitFaults));
if (data.leaders.length) stacked.push(chart(run, "Leader", 24, drawLeaders, hitLeaders));
if (!data.unit) stacked.push(chart(run, "Operations ended per second", 110, drawRate, hitRate));
for (const one of stacked) zoomable(one, view, whole, () => stacked.forEach(each => each.paint()));

const legend = document.getElementById("legend");
function entry(style, text, kind) {
  const span = document.createElement("span"), mark = document.createElement("i");
  mark.className = kind || "";
  mark.style.background = `var(--${style})`;
  span.append(mark, text);
  legend.append(span);
}
entry("ok", "ok");
entry("failed", "\u00d7 failed: it did not happen");
entry("unknown", "\u25c6 unknown: it may have happened");
if (data.marked.length) entry("bad", "contradicting", "ring");
for (const kind of [...new Set(data.faults.filter(f => !f.refused).map(faultKind))]) entry(kind, `${kind} fault`, "band");
const { shown } = data.points;
if (shown.ok < shown.all_ok || shown.other < shown.all_other) {
  document.getElementById("sampled").textContent =
    `Drawn are ${shown.ok.toLocaleString("en")} of ${shown.all_ok.toLocaleString("en")} ok operations and ` +
    `${shown.other.toLocaleString("en")} of ${shown.all_other.toLocaleString("en")} others, evenly chosen; ` +
    "the slowest and the contradicting ones are all there. Rates and tables count every operation.";
}

// ---- the contradiction -------------------------------------------------------------------------------------------
const ROW = 27, HEAD = 6, STRIP = 30;
function story(box, t) {
  const open = { from: t.from, to: t.to }, v = { ...open };
  const all = { from: Math.min(0, t.from), to: Math.max(data.end, t.to) };
  let counts = data.density.counts, piece = data.density.width_us;
  const faultRows = [];
  // Close by, where every operation is drawn, they are counted in finer pieces.
  function pieces() {
    counts = data.density.counts; piece = data.density.width_us;
    if (t.left_out || v.from < t.drawn_from || v.to > t.drawn_to || (v.to - v.from) / piece > 100) return 0;
    piece = (v.to - v.from) / 120;
    counts = new Array(121).fill(0);
    for (const bar of t.bars) if (bar.from >= v.from && bar.from <= v.to) counts[Math.floor((bar.from - v.from) / piece)]++;
    return v.from;
  }
  for (const fault of data.faults.filter(f => !f.refused)) {
    let lane = faultRows.findIndex(last => last.to <= fault.from);
    if (lane < 0) { faultRows.push(null); lane = faultRows.length - 1; }
    faultRows[lane] = fault;
    fault.near = lane;
  }
  const near = data.faults.filter(f => f.near !== undefined);
  const strips = HEAD + faultRows.length * 18 + (faultRows.length ? 6 : 0), roof = strips + STRIP + 6;
  const height = roof + t.rows.length * ROW + 24;
  function draw(c, width, h) {
    const floor = h - 22;
    c.fillStyle = css.card;
    c.fillRect(0, 0, width, h);
    timeAxis(c, width, floor, roof, v);
    drawCounts(c, width);
    t.rows.forEach((name, row) => {
      const y = roof + row * ROW;
      if (row % 2) { c.fillStyle = css.faint; c.globalAlpha = .6; c.fillRect(0, y, width, ROW); c.globalAlpha = 1; }
      c.fillStyle = css.soft; c.textAlign = "right";
      const label = "client " + name;
      c.fillText(c.measureText(label).width < LEFT - 8 ? label : name.slice(0, 8), LEFT - 7, y + ROW / 2);
    });
    clip(c, width, 0, floor, () => {
      for (const fault of near) {
        c.globalAlpha = .08; c.fillStyle = css[faultKind(fault)];
        const a = xOf(fault.from, width, v), b = xOf(fault.to, width, v);
        c.fillRect(a, roof, b - a, floor - roof);
        c.globalAlpha = 1;
        strip(c, width, HEAD + fault.near * 18, 15, fault.from, fault.to, css[faultKind(fault)], faultWords(fault), false, v);
      }
      aside(c, width, roof, floor, v.from, t.drawn_from);
      aside(c, width, roof, floor, t.drawn_to, v.to);
      const taken = t.bars.filter(b => b.number).map(b => ({ row: b.row, from: xOf(b.from, width, v), to: Math.max(xOf(b.from, width, v) + 3, xOf(b.to, width, v)) }));
      const free = (row, from, to) => from > LEFT && to < width - RIGHT && !taken.some(each => each.row === row && each.from < to && each.to > from);
      for (const strong of [false, true]) for (const bar of t.bars) {
        if ((bar.number > 0) !== strong) continue;
        const a = xOf(bar.from, width, v), b = xOf(bar.to, width, v), y = roof + bar.row * ROW + 4, w = Math.max(2.5, b - a);
        if (a + w < LEFT || a > width) continue;
        c.globalAlpha = strong ? 1 : bar.same ? .8 : .22;
        c.fillStyle = strong ? css.bad : css[bar.outcome];
        c.fillRect(a, y, w, ROW - 8);
        c.globalAlpha = 1;
        const label = (strong ? bar.number + "  " : "") + bar.text + (bar.member ? "  on " + bar.member : "");
        c.textAlign = "left";
        if (strong) c.font = "bold 12px system-ui";
        const room = c.measureText(label).width + 10;
        if (room < w) { c.fillStyle = strong || bar.same ? css.card : css.text; c.fillText(label, Math.max(a, LEFT) + 5, y + (ROW - 8) / 2 + .5); }
        else if (strong) {
          // The whole label beside its bar where nothing numbered is in the way, else only the number.
          for (const [said, size] of [[label, room], [String(bar.number), c.measureText(String(bar.number)).width + 10]]) {
            const x = [a + w + 5, a - size + 4].find(at => free(bar.row, at - 2, at + size - 8));
            if (x === undefined) continue;
            c.fillStyle = css.card; c.globalAlpha = .88; c.fillRect(x - 2, y, size - 6, ROW - 8); c.globalAlpha = 1;
            c.fillStyle = css.bad; c.fillText(said, x, y + (ROW - 8) / 2 + .5);
            taken.push({ row: bar.row, from: x - 2, to: x + size - 8 });
            break;
          }
        }
        c.font = "12px system-ui, sans-serif";
      }
    });
  }
  // How many operations were called in each piece of the time: all of them, drawn below or not.
  function drawCounts(c, width) {
    let most = 1;
    const zero = pieces();
    const first = Math.max(0, Math.floor((v.from - zero) / piece)), last = Math.min(counts.length - 1, Math.ceil((v.to - zero) / piece));
    for (let i = first; i <= last; i++) most = Math.max(most, counts[i]);
    c.fillStyle = css.soft; c.textAlign = "right";
    c.fillText("all ops", LEFT - 7, strips + STRIP / 2);
    clip(c, width, strips, strips + STRIP, () => {
      c.fillStyle = css.faint;
      c.fillRect(LEFT, strips, width, STRIP);
      c.fillStyle = css.soft; c.globalAlpha = .55;
      for (let i = first; i <= last; i++) {
        const a = xOf(zero + i * piece, width, v), b = xOf(zero + (i + 1) * piece, width, v), h = counts[i] / most * (STRIP - 3);
        if (h > 0) c.fillRect(a, strips + STRIP - h, Math.max(1, b - a - (b - a > 3 ? 1 : 0)), h);
      }
      c.globalAlpha = .3; c.fillStyle = css.bad;
      const a = xOf(open.from, width, v), b = xOf(open.to, width, v);
      if (b - a < (width - LEFT) * .98) c.fillRect(a - 1, strips, Math.max(3, b - a), STRIP);
      c.globalAlpha = 1;
    });
  }
  // Where operations are counted above but not drawn one by one.
  function aside(c, width, top, bottom, from, to) {
    const a = Math.max(LEFT, xOf(from, width, v)), b = Math.min(width - RIGHT, xOf(to, width, v));
    if (b - a < 1) return;
    c.save();
    c.beginPath(); c.rect(a, top, b - a, bottom - top); c.clip();
    c.fillStyle = css.card; c.fillRect(a, top, b - a, bottom - top);
    c.strokeStyle = css.line; c.lineWidth = 1;
    for (let x = a - (bottom - top); x < b; x += 9) { c.beginPath(); c.moveTo(x, bottom); c.lineTo(x + bottom - top, top); c.stroke(); }
    const label = "counted above, not drawn one by one";
    if (c.measureText(label).width + 16 < b - a) {
      const half = c.measureText(label).width / 2 + 8, x = (a + b) / 2, y = (top + bottom) / 2;
      c.fillStyle = css.card; c.fillRect(x - half, y - 11, 2 * half, 22);
      c.fillStyle = css.soft; c.textAlign = "center"; c.fillText(label, x, y);
    }
    c.restore();
  }
  function hit(x, y) {
    if (x < LEFT) return "";
    const width = this.width, row = Math.floor((y - roof) / ROW);
    if (y >= strips && y < roof) {
      const zero = pieces(), i = Math.floor((timeAt(x, width, v) - zero) / piece);
      return i in counts ? `${counts[i]} operations called from ${seconds(zero + i * piece)} to ${seconds(zero + (i + 1) * piece)}` : "";
    }
    if (row < 0) {
      const at = timeAt(x, width, v), fault = near.find(f => f.near === Math.floor((y - HEAD) / 18) && f.from <= at && at <= f.to);
      return fault ? `${faultWords(fault)}\n${seconds(fault.from)} to ${seconds(fault.to)}` : "";
    }
    let best = null;
    for (const bar of t.bars) {
      if (bar.row !== row) continue;
      const a = xOf(bar.from, width, v) - 3, b = Math.max(a + 8, xOf(bar.to, width, v) + 3);
      if (x >= a && x <= b && (!best || bar.number || (bar.same && !best.number))) best = bar;
    }
    return best ? `${best.text}\n${best.key}\n${best.member ? "on " + best.member + ", " : ""}${seconds(best.from)} to ${seconds(best.to)} (operation ${best.id})` + activeWords(best.from, best.to) : "";
  }
  const one = chart(box, "", height, draw, hit);
  const clamp = () => {
    const size = Math.min(v.to - v.from, all.to - all.from);
    v.from = Math.max(all.from, Math.min(v.from, all.to - size));
    v.to = v.from + size;
    one.paint();
  };
  one.canvas.addEventListener("wheel", event => {
    if (!event.ctrlKey && !event.shiftKey && !event.metaKey) return;
    event.preventDefault();
    const centre = timeAt(event.offsetX, one.width, v), by = Math.exp((event.deltaY || event.deltaX) / 300);
    const size = Math.max(200, (v.to - v.from) * by);
    const share = (centre - v.from) / (v.to - v.from);
    v.from = centre - share * size;
    v.to = v.from + size;
    clamp();
  }, { passive: false });
  let grip = null;
  one.canvas.addEventListener("pointerdown", event => { grip = event.clientX; one.canvas.setPointerCapture(event.pointerId); });
  one.canvas.addEventListener("pointermove", event => {
    if (grip === null) return;
    const by = (grip - event.clientX) / (one.width - LEFT - RIGHT) * (v.to - v.from);
    grip = event.clientX;
    v.from += by; v.to += by;
    clamp();
  });
  one.canvas.addEventListener("pointerup", () => { grip = null; });
  const tools = document.getElementById("zooms");
  const button = (text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    tools.append(made);
  };
  button("The contradiction", () => { Object.assign(v, open); one.paint(); });
  button("Everything", () => { Object.assign(v, all); one.paint(); });
  for (const bar of t.bars.filter(b => b.number).sort((a, b) => a.number - b.number)) {
    button("Around " + bar.number, () => {
      const size = Math.max(6 * (bar.to - bar.from), 20000);
      v.from = (bar.from + bar.to) / 2 - size / 2;
      v.to = v.from + size;
      clamp();
    });
  }
  button("Closer", () => { const m = (v.from + v.to) / 2, s = (v.to - v.from) / 4; v.from = m - s; v.to = m + s; clamp(); });
  button("Further", () => { const m = (v.from + v.to) / 2, s = (v.to - v.from); v.from = m - s; v.to = m + s; clamp(); });
}
const storyBox = document.getElementById("timeline");
if (storyBox && data.timeline) story(storyBox, data.timeline);

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(
      () => { button.textContent = "copied"; }, () => { button.textContent = "select it and copy"; });
  });
}
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(drawAll); });
setTheme(media.matches);
