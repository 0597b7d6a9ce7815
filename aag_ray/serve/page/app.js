// The form and the conversation: questions go out, events of answers come in.
import { byId, make } from "./elements.js";
import { Exchange } from "./exchange.js";
import { closeQuote, putAway } from "./quote.js";

const MODES = { "aag-auto": "memory and web", "aag-search": "web", "aag": "memory" };
let conversation = [];
let running = null;

async function showModes() {
  let models = Object.keys(MODES).map((id) => ({ id }));
  try {
    const response = await fetch("v1/models", { headers: authorization() });
    if (response.ok) models = (await response.json()).data;
    if (response.status === 401) byId("key-row").hidden = false;
  } catch { /* the modes are offered all the same; asking will say what is wrong */ }
  const list = byId("modes");
  const chosen = list.querySelector("input:checked")?.value ?? models[0].id;
  list.querySelectorAll("label").forEach((label) => label.remove());
  for (const { id } of models) {
    const label = make("label");
    const input = make("input");
    Object.assign(input, { type: "radio", name: "mode", value: id, checked: id === chosen });
    label.append(input, MODES[id] ?? id);
    list.append(label);
  }
}

function authorization() {
  const key = byId("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Server-sent events of a response, as parsed JSON; comments (heartbeats) are passed over. A stream without its last
// event is an answer without its end.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read().catch(broken);
    if (done) broken();
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

function broken(error) {
  throw error?.name === "AbortError" ? error : new Error("the connection to the server broke");
}

// Proxies before the server have errors of their own, which are not JSON.
async function refusal(response) {
  const body = await response.json().catch(() => null);
  const wait = response.status === 503 ? response.headers.get("Retry-After") : null;
  return (body?.error?.message ?? `the server says ${response.status} ${response.statusText}`) + (wait ? `; try again in ${wait} s` : "");
}

async function ask(question) {
  const model = byId("modes").querySelector("input:checked")?.value ?? "aag-auto";
  const exchange = new Exchange(question);
  const turns = conversation;
  turns.push({ role: "user", content: question });
  running = new AbortController();
  busy(true);
  try {
    const response = await fetch("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization() },
      body: JSON.stringify({ model, messages: turns, stream: true }),
      signal: running.signal,
    }).catch(broken);
    if (response.status === 401) byId("key-row").hidden = false;
    if (!response.ok) throw new Error(await refusal(response));
    for await (const chunk of events(response)) exchange.take(chunk);
    turns.push({ role: "assistant", content: exchange.text });
    exchange.end();
  } catch (error) {
    turns.pop();
    exchange.fail(error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}`);
    byId("question").value ||= question;
  } finally {
    running = null;
    busy(false);
  }
}

// One button takes the other's place, and its focus.
function busy(yes) {
  const [leaves, comes] = yes ? [byId("send"), byId("stop")] : [byId("stop"), byId("send")];
  const focused = document.activeElement === leaves;
  leaves.hidden = true;
  comes.hidden = false;
  if (focused) comes.focus();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = byId("question").value.trim();
  if (!question || running) return;
  byId("question").value = "";
  byId("new").hidden = false;
  ask(question);
});
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("ask").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && !closeQuote()) running?.abort();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("new").addEventListener("click", () => {
  running?.abort();
  conversation = [];
  putAway();
  byId("conversation").replaceChildren();
  byId("new").hidden = true;
  byId("question").focus();
});
byId("key").addEventListener("change", showModes);
// What is scrolled to or focused never lies below the form.
new ResizeObserver(() => {
  document.documentElement.style.scrollPaddingBottom = `${byId("ask").offsetHeight + 16}px`;
}).observe(byId("ask"));
showModes();
