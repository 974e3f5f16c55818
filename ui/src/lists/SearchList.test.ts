import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { SearchList } from "./SearchList";

interface Row {
  readonly name: string;
  readonly group?: string;
  readonly refused?: string;
}

function Fruit({ rows, start = 0 }: { rows: readonly Row[]; start?: number }) {
  return createElement(SearchList<Row>, {
    input: { current: null },
    label: "Fruit",
    placeholder: "Search",
    query: "",
    onQuery: () => undefined,
    rows,
    start,
    keyOf: ({ name }) => name,
    show: ({ name }, isActive) => (isActive ? `[${name}]` : name),
    pick: () => undefined,
    note: rows.length === 0 && "Nothing",
  });
}

/** The list as it opens, as HTML. */
function markup(rows: readonly Row[], start = 0): string {
  return renderToStaticMarkup(createElement(Fruit, { rows, start }));
}

const values = (html: string, pattern: RegExp) => [...html.matchAll(pattern)].map((found) => found[1]);

test("the field names the active row, which alone is selected", () => {
  const html = markup([{ name: "apple" }, { name: "pear" }, { name: "plum" }], 1);
  expect(values(html, /aria-selected="(\w+)"/g)).toEqual(["false", "true", "false"]);
  const [active] = values(html, /aria-activedescendant="([^"]+)"/g);
  expect(html).toMatch(new RegExp(`id="${active}"[^>]*aria-selected="true"[^>]*>\\[pear\\]`));
});

test("two lists on one page share no id", () => {
  const fruit = () => createElement(Fruit, { rows: [{ name: "apple" }] });
  const twice = renderToStaticMarkup(createElement("div", null, fruit(), fruit()));
  const ids = values(twice, / id="([^"]+)"/g);
  expect(ids).toHaveLength(4);
  expect(new Set(ids).size).toBe(4);
});

test("an empty list has no active row, and says why", () => {
  const html = markup([]);
  expect(html).not.toContain("aria-activedescendant");
  expect(html).not.toContain('role="option"');
  expect(html).toContain("Nothing");
});

test("a group has one heading, and a row that cannot be picked is disabled", () => {
  const html = markup([
    { name: "apple", group: "Pome" },
    { name: "pear", group: "Pome" },
    { name: "plum", group: "Stone", refused: "eaten" },
  ]);
  expect(values(html, /pop-group">(\w+)</g)).toEqual(["Pome", "Stone"]);
  expect(values(html, /aria-disabled="(\w+)"/g)).toEqual(["false", "false", "true"]);
});
