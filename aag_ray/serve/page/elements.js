// Elements with text in them. What pages and models say reaches the document through here, as text nodes and never as
// markup; the server's Content-Security-Policy (trusted types) refuses everything else.

export const byId = (id) => document.getElementById(id);

export function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

// Only web addresses become links; anything else stays text.
export function address(anchor, url) {
  if (/^https?:\/\//i.test(url)) anchor.href = url; else anchor.removeAttribute("href");
}

export function link(url, title) {
  const anchor = make("a", title || url);
  Object.assign(anchor, { rel: "noreferrer noopener nofollow", target: "_blank" });
  address(anchor, url);
  return anchor;
}
