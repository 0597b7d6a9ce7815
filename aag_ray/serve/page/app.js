// Text of pages and models reaches the document only as text nodes. The server's Content-Security-Policy (trusted types)
// refuses everything else.
"use strict";

const byId = (id) => document.getElementById(id);
const MODES = { "aag-auto": "memory and web", "aag-search": "web", "aag": "memory" };
const ANSWERED = new Set(["from_memory", "from_pages", "both_agree", "disagree"]);
let conversation = [];
let running = null;

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

async function showModes() {
  let models = Object.keys(MODES).map((id) => ({ id }));
  try {
    const response = await fetch("v1/models", { headers: authorization() });
    if (response.ok) models = (await response.json()).data;
    byId("key-row").hidden = byId("key-row").hidden && response.status !== 401;
  } catch { /* the modes are offered all the same; asking will say what is wrong */ }
  const list = byId("modes");
  const chosen = list.querySelector("input:checked")?.value;
  list.querySelectorAll("label").forEach((label) => label.remove());
  models.forEach((model, place) => {
    const label = make("label");
    const input = make("input");
    Object.assign(input, { type: "radio", name: "mode", value: model.id, checked: chosen ? chosen === model.id : place === 0 });
    label.append(input, MODES[model.id] ?? model.id);
    list.append(label);
  });
}

function authorization() {
  const key = byId("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Server-sent events of a response, as parsed JSON; comments (heartbeats) are passed over.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
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

class Exchange {
  constructor(question) {
    this.element = byId("exchange").content.firstElementChild.cloneNode(true);
    this.text = "";
    this.part(".asked").textContent = question;
    this.status("Thinking …");
    byId("conversation").append(this.element);
    this.element.scrollIntoView({ block: "start" });
  }

  part(selector) { return this.element.querySelector(selector); }
  status(text) { this.part(".status").textContent = text; this.part(".status").hidden = !text; }

  take(chunk) {
    if (chunk.error) throw new Error(chunk.error.message);
    const delta = chunk.choices[0]?.delta;
    if (delta?.content) {
      this.text += delta.content;
      this.part(".answer").textContent = this.text;
      this.status("");
    }
    const own = chunk.aag;
    if (own?.event === "understood" && own.search) this.status(`Searching: ${own.queries.map((each) => each.q).join(" · ")}`);
    if (own?.event === "sources") this.showSources(own);
    if (own?.event === "remembered") this.showMemory(own);
    if (own?.event === "citations") this.showCitations(own);
    if (own?.event === "provenance") this.showProvenance(own);
    if (own?.event === "given_up") this.part(".given-up").append(make("li", `${own.step.replaceAll("_", " ")}: ${own.detail}`));
    if (own?.event === "done") this.showTimes(own.seconds);
  }

  showSources({ sources, read }) {
    const list = this.part(".sources");
    list.replaceChildren(...sources.map((source) => {
      const item = make("li");
      item.value = source.number;
      item.append(link(source.url, source.title), " ", make("span", host(source.url), "host"));
      if (read) item.append(" ", make("span", state(source), `state ${source.state}`));
      return item;
    }));
    list.hidden = sources.length === 0;
    if (!this.text && sources.length) this.status(read ? "Reading …" : "Looking at the pages …");
  }

  showMemory({ outcome, document: written, adapter, answer, detail }) {
    const memory = this.part(".memory");
    memory.hidden = outcome === "not_asked";
    this.part(".memory-answer").textContent = answer ? `Memory alone answers: ${answer}` : detail || "";
    this.part(".document").textContent = written;
    this.part(".document").hidden = !written;
    const facts = Object.entries(adapter).flatMap(([name, value]) => [make("dt", name), make("dd", shown(value))]);
    this.part(".facts").replaceChildren(...facts);
  }

  showProvenance({ provenance, told, detail }) {
    const badge = this.part(".badge");
    badge.textContent = told;
    badge.title = detail;
    badge.className = `badge ${provenance}`;
    badge.hidden = false;
    this.part(".answer").classList.toggle("none", !ANSWERED.has(provenance));
  }

  // Indices count code points, JavaScript's strings count UTF-16 units: the text is cut as an array of characters.
  showCitations({ citations, sentences }) {
    const characters = Array.from(this.text);
    const pieces = [];
    let place = 0;
    for (const sentence of sentences) {
      pieces.push(characters.slice(place, sentence.start_index).join(""));
      const element = make("span", characters.slice(sentence.start_index, sentence.end_index).join(""), sentence.state);
      if (sentence.state === "unsupported" && citations.length) element.title = "No page that was read says this.";
      pieces.push(element);
      for (const citation of citations) {
        if (citation.start_index === sentence.start_index && citation.end_index === sentence.end_index) pieces.push(marker(citation));
      }
      place = sentence.end_index;
    }
    pieces.push(characters.slice(place).join(""));
    this.part(".answer").replaceChildren(...pieces);
    this.part(".answer").classList.toggle("cited", citations.length > 0);
  }

  showTimes(seconds) {
    this.part(".times").hidden = false;
    const rows = Object.entries(seconds).map(([stage, value]) => {
      const row = make("tr");
      const bar = make("meter");
      Object.assign(bar, { min: 0, max: seconds.total || 1, value });
      const cell = make("td");
      cell.append(bar);
      row.append(make("th", stage.replaceAll("_", " ")), make("td", `${value.toFixed(3)} s`), cell);
      return row;
    });
    this.part(".times tbody").replaceChildren(...rows);
  }

  fail(message) {
    this.status("");
    this.part(".answer").append(make("p", message, "error"));
  }
}

function marker(citation) {
  const button = make("button", String(citation.number), "citation");
  button.type = "button";
  button.setAttribute("aria-label", `Source ${citation.number}: ${citation.text}`);
  button.setAttribute("aria-controls", "quote");
  const show = () => showQuote(citation, button);
  button.addEventListener("mouseenter", show);
  button.addEventListener("focus", show);
  button.addEventListener("click", show);
  button.addEventListener("blur", (event) => { if (!byId("quote").contains(event.relatedTarget)) hideQuote(); });
  return button;
}

function showQuote(citation, button) {
  const quote = byId("quote");
  quote.querySelector(".quote-title").textContent = `${citation.number}. ${citation.title}`;
  quote.querySelector("mark").textContent = citation.text;
  const read = citation.fetched_at ? `, read ${new Date(citation.fetched_at * 1000).toLocaleString()}` : "";
  const archived = citation.record ? `, archived as ${citation.record}` : "";
  quote.querySelector(".quote-more").textContent = `characters ${citation.start}–${citation.end}${read}${archived}`;
  address(quote.querySelector("a"), citation.url);
  quote.hidden = false;
  button.after(quote);
}

function hideQuote() { byId("quote").hidden = true; }

// Only web addresses become links; anything else stays text.
function address(anchor, url) {
  if (/^https?:\/\//i.test(url)) anchor.href = url; else anchor.removeAttribute("href");
}

function link(url, title) {
  const anchor = make("a", title);
  Object.assign(anchor, { rel: "noreferrer noopener nofollow", target: "_blank" });
  address(anchor, url);
  return anchor;
}

function host(url) {
  try { return new URL(url).host; } catch { return ""; }
}

function state(source) {
  if (source.state === "evidence") return `${source.spans} sentence${source.spans === 1 ? "" : "s"} used`;
  return source.state.replaceAll("_", " ") + (source.detail ? ` (${source.detail})` : "");
}

function shown(value) { return typeof value === "object" ? JSON.stringify(value) : String(value); }

async function ask(question) {
  const mode = byId("modes").querySelector("input:checked")?.value ?? "aag-auto";
  const exchange = new Exchange(question);
  conversation.push({ role: "user", content: question });
  running = new AbortController();
  busy(true);
  try {
    const response = await fetch("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization() },
      body: JSON.stringify({ model: mode, messages: conversation, stream: true }),
      signal: running.signal,
    });
    if (!response.ok) {
      if (response.status === 401) byId("key-row").hidden = false;
      throw new Error((await response.json()).error.message);
    }
    for await (const chunk of events(response)) exchange.take(chunk);
    conversation.push({ role: "assistant", content: exchange.text });
  } catch (error) {
    conversation.pop();
    exchange.fail(error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}`);
  } finally {
    running = null;
    busy(false);
    byId("question").focus();
  }
}

function busy(yes) {
  byId("send").disabled = yes;
  byId("stop").hidden = !yes;
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = byId("question").value.trim();
  if (!question || running) return;
  byId("question").value = "";
  ask(question);
});
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("ask").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!byId("quote").hidden) hideQuote(); else running?.abort();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("#quote, .citation")) hideQuote();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("new").addEventListener("click", () => {
  running?.abort();
  conversation = [];
  document.body.append(byId("quote"));
  hideQuote();
  byId("conversation").replaceChildren();
  byId("question").focus();
});
byId("key").addEventListener("change", showModes);
showModes();
