// One question and its answer, as its events come in.
import { byId, link, make } from "./elements.js";
import { marker } from "./quote.js";

const ANSWERED = new Set(["from_memory", "from_pages", "both_agree", "disagree"]);
const NEAR_END = 80; // pixels

export class Exchange {
  constructor(question) {
    this.element = byId("exchange").content.firstElementChild.cloneNode(true);
    this.text = "";
    this.checked = { citations: [], sentences: [] };
    this.part(".asked").textContent = question;
    byId("conversation").append(this.element);
    this.status("Thinking …");
    this.element.scrollIntoView({ block: "start" });
  }

  part(selector) { return this.element.querySelector(selector); }

  status(text) {
    if (this.part(".status").textContent === text) return;
    this.part(".status").textContent = text;
    this.part(".status").hidden = !text;
    if (text) announce(text);
  }

  // Whoever reads at the end of the page stays there, until the question has come up to its top.
  take(chunk) {
    const following = innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR_END;
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
    if (own?.event === "citations") this.checked = own;
    if (own?.event === "provenance") this.showProvenance(own);
    if (own?.event === "given_up") this.showGivenUp(own);
    if (own?.event === "done") this.showTimes(own.seconds);
    if (following) this.element.scrollIntoView({ block: "nearest" });
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
    this.part(".memory").hidden = outcome === "not_asked";
    this.part(".memory-answer").textContent = answer ? `Memory alone answers: ${answer}` : detail || "";
    this.part(".document").textContent = written;
    this.part(".document").hidden = !written;
    const facts = Object.entries(adapter).flatMap(([name, value]) => [make("dt", name), make("dd", shown(value))]);
    this.part(".facts").replaceChildren(...facts);
  }

  showProvenance({ provenance, told, detail }) {
    const { sentences } = this.checked;
    const fromPages = provenance !== "from_memory"; // which no page is expected to say
    const proven = sentences.some((sentence) => sentence.state === "supported");
    const unsupported = fromPages && sentences.some((sentence) => sentence.state === "unsupported");
    const badge = this.part(".badge");
    badge.textContent = unsupported && !proven ? `${told}, unsupported` : told;
    badge.className = `badge ${provenance}${proven ? " proven" : ""}`;
    badge.hidden = false;
    if (fromPages) this.showCitations();
    this.part(".legend").hidden = !unsupported;
    this.part(".why").textContent = detail;
    this.part(".why").hidden = !detail;
    this.part(".answer").classList.toggle("none", !ANSWERED.has(provenance));
  }

  // Indices count code points, JavaScript's strings count UTF-16 units: the text is cut as an array of characters.
  showCitations() {
    const { citations, sentences } = this.checked;
    const characters = Array.from(this.text);
    const pieces = [];
    let place = 0;
    for (const sentence of sentences) {
      pieces.push(characters.slice(place, sentence.start_index).join(""));
      pieces.push(make("span", characters.slice(sentence.start_index, sentence.end_index).join(""), sentence.state));
      if (sentence.state === "unsupported") pieces.push(make("span", " (on no page that was read)", "unseen"));
      for (const citation of citations) {
        if (citation.start_index === sentence.start_index && citation.end_index === sentence.end_index) pieces.push(marker(citation));
      }
      place = sentence.end_index;
    }
    pieces.push(characters.slice(place).join(""));
    this.part(".answer").replaceChildren(...pieces);
  }

  showGivenUp({ step, detail }) {
    this.part(".times").hidden = false;
    this.part(".given-up").append(make("li", `${step.replaceAll("_", " ")}: ${detail}`));
  }

  showTimes(seconds) {
    this.part(".times").hidden = false;
    const rows = Object.entries(seconds).map(([stage, value]) => {
      const row = make("tr");
      const name = make("th", stage.replaceAll("_", " "));
      name.scope = "row";
      const bar = make("meter");
      Object.assign(bar, { min: 0, max: seconds.total || 1, value, ariaHidden: "true" });
      const cell = make("td");
      cell.append(bar);
      row.append(name, make("td", `${value.toFixed(3)} s`), cell);
      return row;
    });
    this.part(".times tbody").replaceChildren(...rows);
  }

  // A screen reader hears the answer once and whole, not each of its pieces.
  end() {
    this.settle();
    const { length } = this.checked.citations;
    const cited = length ? ` ${length} citation${length === 1 ? "" : "s"}.` : "";
    announce(`${this.part(".badge").textContent}. ${this.text}${cited}`);
  }

  fail(message) {
    this.settle();
    const error = make("p", message, "error");
    error.setAttribute("role", "alert");
    this.part(".answer").after(error);
  }

  settle() {
    this.status("");
    this.element.setAttribute("aria-busy", "false");
  }
}

function announce(text) { byId("announcer").textContent = text; }

function host(url) {
  try { return new URL(url).host; } catch { return ""; }
}

function state(source) {
  if (source.state === "evidence") return `${source.spans} sentence${source.spans === 1 ? "" : "s"} used`;
  return source.state.replaceAll("_", " ") + (source.detail ? ` (${source.detail})` : "");
}

function shown(value) { return typeof value === "object" ? JSON.stringify(value) : String(value); }
