// The dashboard asks the API every two seconds and shows the answers. Everything from outside becomes text nodes:
// no markup is ever built from data.
"use strict";

const EVERY_MS = 2000;
const PATIENCE_MS = 8000;
const ROWS = 50;
const LANGUAGES = 8;

const TONES = {
  ready: "good", completed: "good", processing: "busy", accepted: "busy", dispatched: "busy", assigned: "busy",
  degraded: "warn", draining: "warn", pending: "warn", registering: "idle", offline: "bad", failed: "bad",
  completed_no_text: "idle", cancelled: "idle", quarantined: "bad",
};
const STATUSES = [
  "pending", "assigned", "dispatched", "accepted", "processing", "completed", "completed_no_text", "failed", "cancelled",
];
const RUNNING = ["assigned", "dispatched", "accepted", "processing"];

const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem("lingua-token") || "";
let shown_s = 0;

// --- small parts ---------------------------------------------------------------------------------------------------

function element(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children.map((child) => (child === null || child === undefined ? "" : child)));
  return made;
}

const badge = (word) => element("span", `badge ${TONES[word] || "idle"}`, word.replaceAll("_", " "));
const number = (value) => Number(value).toLocaleString("en");

function identifier(text) {
  const made = element("div", "id", text || "–");
  made.title = text || "";
  return made;
}

function span(ms) {
  if (ms < 0) return "0 s";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}

const ago = (then_ms, now_ms) => (then_ms ? `${span(now_ms - then_ms)} ago` : "–");

function some(codes) {
  const first = codes.slice(0, LANGUAGES).join(" ");
  return codes.length > LANGUAGES ? `${first} +${codes.length - LANGUAGES}` : first || "–";
}

function languages(known) {
  const made = element("div", "", `${some(known.hears)} → ${some(known.speaks)}`);
  made.title = `hears ${known.hears.join(", ")}; speaks ${known.speaks.join(", ")}`;
  return made;
}

function load(taken, capacity) {
  const bar = element("i");
  bar.style.setProperty("--fill", `${capacity ? Math.min(100, (100 * taken) / capacity) : 0}%`);
  return element("div", taken >= capacity ? "load full" : "load", bar, `${taken} / ${capacity}`);
}

// --- tables --------------------------------------------------------------------------------------------------------

function table(id, columns, rows, empty) {
  const head = element("tr", "", ...columns.map(([title, , kind]) => element("th", kind === "num" ? "num" : "", title)));
  const body = rows.map((row) =>
    element("tr", "", ...columns.map(([, cell, kind]) => element("td", kind || "", cell(row)))));
  if (!rows.length) {
    const cell = element("td", "empty", empty);
    cell.colSpan = columns.length;
    body.push(element("tr", "", cell));
  }
  $(id).replaceChildren(element("thead", "", head), element("tbody", "", ...body));
}

function count(id, length, more) {
  $(`${id}-count`).textContent = more ? `first ${length}` : length ? String(length) : "";
}

function showNodes({ nodes, now_ms, next_cursor }) {
  count("nodes", nodes.length, next_cursor);
  table("nodes", [
    ["Node", (node) => identifier(node.node_id)],
    ["Status", (node) => element("div", "", badge(node.connected ? (node.quarantined ? "quarantined" : node.status) : "not connected"))],
    ["Load", (node) => load(node.load, node.capacity)],
    ["Languages", (node) => languages(node.languages), "wrap"],
    ["Last heartbeat", (node) => ago(node.heartbeat_ms, now_ms), "line"],
    ["Done", (node) => number(node.completed), "num"],
    ["Failed", (node) => number(node.failed), "num"],
    ["Resources", (node) => resources(node.resources), "line"],
    ["Access", (node) => access(node.access)],
    ["Declared", (node) => (node.origin === "declared" ? node.scheduling : "–")],
    ["Instance", (node) => identifier(node.instance_id)],
  ], nodes, "No node has registered yet.");
}

function resources(known) {
  const names = { cpu_percent: "cpu", gpu_percent: "gpu", mem_percent: "mem", gpu_mem_percent: "gpu mem" };
  const told = Object.entries(names).filter(([key]) => key in known);
  return told.map(([key, name]) => `${name} ${Math.round(known[key])}%`).join(" · ") || "–";
}

function access(known) {
  if (known.by_pairing_code) return "pairing code";
  return known.public ? "everybody" : some(known.tenants);
}

function showPairs({ pairs, next_cursor }) {
  count("pairs", pairs.length, next_cursor);
  table("pairs", [
    ["Pair", (row) => `${row.pair.source} → ${row.pair.target}`],
    ["For", (row) => row.scope || "everybody"],
    ["Nodes", (row) => number(row.nodes), "num"],
    ["Free", (row) => number(row.free), "num"],
    ["Waiting", (row) => (row.waiting ? element("span", "badge warn", number(row.waiting)) : "0"), "num"],
    ["Oldest", (row) => (row.waiting ? span(row.oldest_wait_ms) : "–"), "num"],
  ], pairs, "No language pair is offered.");
}

function showPools({ pools, next_cursor }) {
  count("pools", pools.length, next_cursor);
  table("pools", [
    ["Pool", (row) => identifier(row.pool_id)],
    ["Languages", (row) => languages(row.languages), "wrap"],
    ["Access", (row) => access(row.access)],
    ["Nodes", (row) => number(row.nodes), "num"],
    ["Free", (row) => number(row.free), "num"],
  ], pools, "No pool yet: it comes with its first node.");
}

function showJobs({ jobs, now_ms, next_cursor }) {
  count("jobs", jobs.length, next_cursor);
  table("jobs", [
    ["Job", (job) => identifier(job.job_id)],
    ["Status", (job) => badge(job.status)],
    ["Pair", (job) => `${job.pair.source} → ${job.pair.target}`],
    ["Node", (job) => identifier(job.node_id)],
    ["Why", (job) => element("div", "", whyCut(job), element("small", "", whyThere(job))), "wrap"],
    ["Attempt", (job) => String(job.attempt_id), "num"],
    ["Audio", (job) => span(job.audio_ms), "num"],
    ["Took", (job) => (job.ended_ms ? span(job.ended_ms - job.created_ms) : span(now_ms - job.created_ms)), "num"],
    ["Begun", (job) => ago(job.created_ms, now_ms), "num"],
  ], jobs, "No job yet.");
}

const whyCut = (job) => (job.error_code ? job.error_code : job.finalize_reason || "–");

function whyThere(job) {
  const reasons = { turn: "the node has this turn", session: "the node has this session", none: "the freest node" };
  const parts = [job.node_id ? reasons[job.affinity] || job.affinity : "no node yet"];
  if (job.moved_from) parts.push(`moved from ${job.moved_from}`);
  if (job.tried_nodes.length > 1) parts.push(`tried ${job.tried_nodes.join(", ")}`);
  return parts.join("; ");
}

function showSessions({ sessions, now_ms, next_cursor }) {
  count("sessions", sessions.length, next_cursor);
  table("sessions", [
    ["Session", (row) => identifier(row.session_id)],
    ["Languages", (row) => `${row.source} → ${row.target}`],
    ["Mode", (row) => row.mode.replaceAll("_", " ")],
    ["Node", (row) => identifier(row.node_id)],
    ["Utterances", (row) => number(row.utterances), "num"],
    ["Since", (row) => span(now_ms - row.created_ms), "num"],
  ], sessions, "Nobody is connected.");
}

function showInstances({ instances, instance_id, now_ms }) {
  count("instances", instances.length, false);
  table("instances", [
    ["Instance", (row) => identifier(row.instance_id)],
    ["Status", (row) => element("div", "", badge(row.draining ? "draining" : "ready"), row.instance_id === instance_id ? " this one" : "")],
    ["Sessions", (row) => number(row.sessions), "num"],
    ["Nodes", (row) => number(row.nodes), "num"],
    ["Version", (row) => row.version],
    ["Up", (row) => span(now_ms - row.started_ms), "num"],
  ], instances, "No instance has announced itself.");
}

// --- figures and health --------------------------------------------------------------------------------------------

function tile(value, title, tone) {
  return element("div", `tile ${tone || ""}`, element("b", "", value), element("span", "quiet", title));
}

function showStats(stats) {
  const jobs = (names) => names.reduce((sum, name) => sum + (stats.jobs[name] || 0), 0);
  $("tiles").replaceChildren(
    tile(number(stats.sessions), "sessions"),
    tile(number(stats.nodes), "nodes", stats.nodes ? "" : "warn"),
    tile(number(stats.free), "free places"),
    tile(number(jobs(RUNNING)), "jobs running"),
    tile(number(stats.waiting), stats.waiting ? `waiting, oldest ${span(stats.oldest_wait_ms)}` : "waiting", stats.waiting ? "warn" : ""),
    tile(number(jobs(["completed", "completed_no_text"])), "completed"),
    tile(number(jobs(["failed"])), "failed", jobs(["failed"]) ? "bad" : ""),
    tile(number(stats.instances), "instances"),
    tile(`${stats.store_ping_ms.toFixed(1)} ms`, "store ping"),
  );
  showJobBar(stats.jobs);
}

function showJobBar(counts) {
  const present = STATUSES.filter((status) => counts[status]);
  $("jobs-bar").replaceChildren(...present.map((status) => {
    const part = element("span", TONES[status] || "idle");
    part.style.setProperty("--part", String(counts[status]));
    return part;
  }));
  $("jobs-legend").replaceChildren(...present.map((status) => element("li", "", badge(status), ` ${number(counts[status])}`)));
}

function showHealth(health) {
  const [word, tone] = health.draining ? ["draining", "warn"]
    : health.ready ? ["ready", "good"]
    : ["store away", "bad"];
  $("health").textContent = word;
  $("health").className = `pill ${tone}`;
  $("who").textContent = `${health.instance_id} · version ${health.version} · up ${span(health.uptime_s * 1000)}`;
  document.body.classList.toggle("stale", !health.store);
  const away = { level: "error", code: "STORE_UNAVAILABLE", message: "The store can't be reached: what is below is old, new work is refused, open sockets stay", remedy: "Once the store is back, everything goes on by itself" };
  showFindings(health.store ? health.findings : [away]);
}

function showFindings(findings) {
  const box = $("findings");
  box.hidden = !findings.length;
  box.classList.toggle("bad", findings.some((finding) => finding.level === "error"));
  box.replaceChildren(...findings.map((finding) =>
    element("li", "", `${finding.message}. `, element("span", "quiet", `${finding.remedy}.`))));
}

function showLost() {
  $("health").textContent = "not reachable";
  $("health").className = "pill bad";
  document.body.classList.add("stale");
}

// --- asking --------------------------------------------------------------------------------------------------------

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.status === 401 || answer.status === 403) $("token-form").hidden = false;
  if (!answer.ok) return null;
  return answer.json();
}

const PARTS = [
  ["/api/v1/stats", showStats],
  [`/api/v1/nodes?limit=${ROWS}`, showNodes],
  [`/api/v1/pairs?limit=${ROWS}`, showPairs],
  [`/api/v1/pools?limit=${ROWS}`, showPools],
  ["/api/v1/jobs?limit=20", showJobs],
  [`/api/v1/sessions?limit=${ROWS}`, showSessions],
  ["/api/v1/cluster", showInstances],
];

async function refresh() {
  let health;
  try {
    health = await ask("/health");
  } catch {
    showLost();
    return;
  }
  showHealth(health);
  if (!health.store) return;
  const answers = await Promise.allSettled(PARTS.map(([path]) => ask(path)));
  let complete = true;
  answers.forEach((answer, at) => {
    if (answer.status === "fulfilled" && answer.value) PARTS[at][1](answer.value);
    else complete = false;
  });
  if (complete) {
    shown_s = Date.now() / 1000;
    $("token-form").hidden = true;
  }
}

async function run() {
  if (!document.hidden) await refresh();
  setTimeout(run, EVERY_MS);
}

function tick() {
  const age_s = Math.round(Date.now() / 1000 - shown_s);
  $("age").textContent = shown_s && age_s > 5 ? `figures are ${span(age_s * 1000)} old` : "";
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("lingua-token", token);
  $("token-form").hidden = true;
  refresh();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(tick, 1000);
run();
