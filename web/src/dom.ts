/** Making elements. Text is only ever put in as text: names come from the recorded program, and may say anything. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...content: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...content);
  return element;
}

/** A name from elsewhere: isolated, so that one that is written from right to left turns nothing around it. */
export function named(text: string, className = ""): HTMLElement {
  const element = document.createElement("bdi");
  if (className !== "") element.className = className;
  element.textContent = text;
  return element;
}

/** The element of this id, which the page has. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`this page lacks its part "${id}"`);
  return element;
}
