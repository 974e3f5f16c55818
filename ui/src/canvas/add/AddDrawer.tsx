import { useMemo, useState } from "react";
import { Drawer, SearchField } from "../../panels/Drawer";
import { type NodeType, summary } from "../../schema/nodeTypes";
import { byCategory, search } from "../../schema/search";
import { useTypes } from "../../state/types";
import { addByName } from "./addNode";
import { TYPE_MIME } from "./dropFiles";

/** Every node type by category; a click adds one, and each can be dragged onto the canvas. */
export function AddDrawer({ onClose }: { onClose: () => void }) {
  const types = useTypes((state) => state.types);
  const [query, setQuery] = useState("");
  const groups = useMemo((): [string, readonly NodeType[]][] => {
    if (query.trim() === "") return [...byCategory(types)];
    return [["", search(types.types, query).map(({ type }) => type)]];
  }, [types, query]);
  return (
    <Drawer title="Add a node" meta={`${types.types.length} types`} onClose={onClose}>
      <div className="drawer-tools">
        <SearchField
          label="Search node types"
          placeholder="Name or words"
          value={query}
          onChange={setQuery}
        />
      </div>
      <div className="scroll rows">
        {groups.map(([category, members]) => (
          <section key={category} aria-label={category || "Found"}>
            {category !== "" && <div className="group">{category}</div>}
            {members.map((type) => (
              <button
                key={type.id}
                type="button"
                className="row"
                draggable
                onDragStart={(event) => event.dataTransfer.setData(TYPE_MIME, type.id)}
                onClick={() => addByName(type.id)}
              >
                {type.name}
                <span className="meta row-doc">{summary(type)}</span>
              </button>
            ))}
          </section>
        ))}
        {groups.every(([, members]) => members.length === 0) && (
          <p className="empty-words">No node type has these words.</p>
        )}
      </div>
    </Drawer>
  );
}
