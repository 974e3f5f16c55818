import { Popover } from "@base-ui/react/popover";
import { useMemo, useRef, useState } from "react";
import { SearchList } from "../../lists/SearchList";
import { candidates, type LooseEnd } from "../../schema/candidates";
import { replacements } from "../../schema/changes";
import { type NodeType, summary } from "../../schema/nodeTypes";
import { search } from "../../schema/search";
import type { WireType } from "../../schema/wireType";
import { graph } from "../../state/editor";
import { typed, useTypes } from "../../state/types";
import { typeWords } from "../nodes/labels";
import type { WireEnd } from "../wires/wireDrag";
import { addByName, addOnWire, recent, replaceBy } from "./addNode";
import { focusCanvas, type Screen, useAddSearch } from "./addSearchStore";

/** The search for a node type, where the pointer is. A dropped wire leaves only the types that take it. */
export function AddSearch() {
  const at = useAddSearch((state) => state.at);
  const close = useAddSearch((state) => state.close);
  const input = useRef<HTMLInputElement>(null);
  const anchor = useMemo(
    () => (at === null ? null : { getBoundingClientRect: () => new DOMRect(at.x, at.y - 19, 0, 0) }),
    [at],
  );
  return (
    <Popover.Root open={at !== null} onOpenChange={(isOpen) => !isOpen && close()}>
      <Popover.Portal>
        <Popover.Positioner
          anchor={anchor}
          align="start"
          side="bottom"
          className="pop-layer"
          collisionPadding={12}
        >
          <Popover.Popup
            className="pop add-search"
            aria-label="Add a node"
            initialFocus={input}
            finalFocus={focusCanvas}
          >
            {at && <Search at={at} input={input} />}
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}

interface Row {
  readonly type: NodeType;
  readonly detail: string;
  readonly group: string | undefined;
  readonly isConverted: boolean;
  readonly add: () => void;
}

function Search({ at, input }: { at: Screen; input: React.RefObject<HTMLInputElement | null> }) {
  const from = useAddSearch((state) => state.from);
  const replaces = useAddSearch((state) => state.replaces);
  const title = replaces === null ? "Add a node" : `Replace ${replaces} with`;
  const close = useAddSearch((state) => state.close);
  const types = useTypes((state) => state.types);
  const [query, setQuery] = useState("");

  const rows = useMemo((): readonly Row[] => {
    if (replaces !== null) return replacementRows(replaces, query);
    const end = from && looseEnd(from);
    if (from === null || end == null) {
      return search(types.types, query, recent()).map(({ type }) => ({
        type,
        detail: passage(type.inputs[0]?.wire, type.outputs[0]?.wire),
        group: undefined,
        isConverted: false,
        add: () => addByName(type.id, at),
      }));
    }
    const fitting = new Map(candidates(types, end).map((item) => [item.type, item]));
    const order =
      query.trim() === ""
        ? [...fitting.keys()]
        : search([...fitting.keys()], query, recent()).map(({ type }) => type);
    const found = order.flatMap((type) => fitting.get(type) ?? []);
    const direct = found.filter((item) => item.through.length === 0);
    const converted = found.filter((item) => item.through.length > 0);
    return [...direct, ...converted].map((item) => ({
      type: item.type,
      detail: passage(item.takes, item.gives),
      group: item.through.length > 0 ? "After a conversion" : undefined,
      isConverted: item.through.length > 0,
      add: () => addOnWire(item, from, at),
    }));
  }, [types, query, from, at, replaces]);
  const empty =
    from !== null
      ? `Nothing fits ${contextWords(from)}. Esc drops the wire.`
      : replaces === null || query !== ""
        ? "No node type has these words."
        : "No node type takes the wires of this node.";
  const fitting = rows.filter((row) => !row.isConverted).length;

  return (
    <>
      <SearchList
        input={input}
        label={title}
        listLabel="Node types"
        placeholder={title}
        query={query}
        onQuery={setQuery}
        rows={rows}
        keyOf={(row) => row.type.id}
        show={(row, isActive) => (
          <>
            <span className="cut">{row.type.name}</span>
            <span className="detail">{row.detail}</span>
            {isActive && <span className="add-doc">{summary(row.type)}</span>}
          </>
        )}
        pick={(row) => {
          close();
          row.add();
        }}
        beside={
          <span className="meta">
            {from === null ? rows.length : `${fitting} of ${types.types.length} fit`}
          </span>
        }
        note={rows.length === 0 && empty}
      >
        {from && <Context from={from} />}
      </SearchList>
      <div className="pop-keys">
        <kbd>Enter</kbd> {replaces !== null ? "replaces" : from === null ? "adds" : "adds and wires"}{" "}
        <kbd>Esc</kbd> {from === null ? "closes" : "drops the wire"}
      </div>
    </>
  );
}

/** The types that can take the place of a node, the best fit first; a query leaves those that match. */
function replacementRows(node: string, query: string): readonly Row[] {
  const all = replacements(graph(), typed(), node);
  const matching =
    query.trim() === ""
      ? null
      : search(
          all.map(({ type }) => type),
          query,
        );
  const order = matching?.map(({ type }) => type) ?? all.map(({ type }) => type);
  const lost = new Map(all.map((item) => [item.type, item.lost]));
  return order.map((type) => {
    const left = lost.get(type) ?? 0;
    return {
      type,
      detail: left === 0 ? "everything fits" : left === 1 ? "1 does not fit" : `${left} do not fit`,
      group: undefined,
      isConverted: false,
      add: () => replaceBy(node, type),
    };
  });
}

function Context({ from }: { from: WireEnd }) {
  const family = familyOf(from);
  return (
    <div className="pop-context">
      <span className={`context-dot family-${family}`} />
      {from.kind === "output" ? "takes" : "gives"} {contextWords(from)}
    </div>
  );
}

function contextWords(from: WireEnd): string {
  const wire = wireOf(from);
  return `the ${wire ? typeWords(wire) : "value"} of ${from.end.node}`;
}

function wireOf(from: WireEnd): WireType | undefined {
  return from.kind === "output" ? typed().output(from.end) : typed().input(from.end)?.wire;
}

function familyOf(from: WireEnd): string {
  const wire = wireOf(from);
  return wire ? typed().types.family(wire) : "values";
}

function looseEnd(from: WireEnd): LooseEnd | undefined {
  if (from.kind === "output") return { kind: "output", wire: typed().output(from.end) };
  const input = typed().input(from.end);
  return input && { kind: "input", input };
}

function passage(takes: WireType | undefined, gives: WireType | undefined): string {
  return [takes && typeWords(takes), gives && typeWords(gives)].filter(Boolean).join(" → ");
}
