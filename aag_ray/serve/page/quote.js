// The cited sentence of a source. It lies over the answer, below its number, so that nothing moves under the pointer.
import { address, byId, make } from "./elements.js";

const LEAVING = 300; // milliseconds to come from the number to its quote
const APART = 8; // pixels between them
const box = byId("quote");
let owner = null; // the number that the quote belongs to
let leaving = 0;

// A button that shows what it cites: for as long as the pointer is on it or on the quote, or the focus is.
export function marker(citation) {
  const button = make("button", String(citation.number), "citation");
  button.type = "button";
  button.setAttribute("aria-label", `Source ${citation.number}: ${citation.text}`);
  button.setAttribute("aria-controls", "quote");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("mouseenter", () => show(button, citation));
  button.addEventListener("mouseleave", leave);
  button.addEventListener("focus", () => show(button, citation));
  button.addEventListener("focusout", unfocused);
  button.addEventListener("click", () => {
    button.focus(); // which not every browser does by itself
    show(button, citation);
  });
  return button;
}

// Whether there was anything to close. The focus goes back to the number.
export function closeQuote() {
  if (box.hidden) return false;
  if (box.contains(document.activeElement)) owner.focus();
  hide();
  return true;
}

// Before the answer that it lies on is taken away.
export function putAway() {
  hide();
  document.body.append(box);
}

function show(button, citation) {
  clearTimeout(leaving);
  if (owner !== button) hide();
  owner = button;
  owner.setAttribute("aria-expanded", "true");
  box.querySelector(".quote-title").textContent = `${citation.number}. ${citation.title}`;
  box.querySelector("mark").textContent = citation.text;
  const read = citation.fetched_at ? `, read ${new Date(citation.fetched_at * 1000).toLocaleString()}` : "";
  const archived = citation.record ? `, archived as ${citation.record}` : "";
  box.querySelector(".quote-more").textContent = `characters ${citation.start}–${citation.end} of the page${read}${archived}`;
  address(box.querySelector("a"), citation.url);
  box.hidden = false;
  if (button.nextSibling !== box) button.after(box);
  place();
}

// Below the number, or above it where only there is room.
function place() {
  const { top, bottom } = owner.getBoundingClientRect();
  const above = bottom + box.offsetHeight + APART > innerHeight && top > box.offsetHeight + APART;
  box.style.top = `${owner.offsetTop + (above ? -box.offsetHeight - APART : owner.offsetHeight + APART)}px`;
}

function hide() {
  clearTimeout(leaving);
  box.hidden = true;
  owner?.setAttribute("aria-expanded", "false");
}

function leave() {
  clearTimeout(leaving);
  leaving = setTimeout(() => { if (!holds(document.activeElement)) hide(); }, LEAVING);
}

function unfocused(event) { if (!holds(event.relatedTarget)) hide(); }
function holds(element) { return element === owner || box.contains(element); }

box.addEventListener("mouseenter", () => clearTimeout(leaving));
box.addEventListener("mouseleave", leave);
box.addEventListener("focusout", unfocused);
