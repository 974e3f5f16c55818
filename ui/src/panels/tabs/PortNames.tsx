/** The outputs of the shown subgraph: their names, which the nodes that stand for it show, and where they are from. */
import { useState } from "react";
import { renameShownPort } from "../../commands/subgraphs";
import { deleteOutput } from "../../document/edit/graphInputs";
import type { From } from "../../document/graph";
import { edit, useGraph } from "../../state/editor";
import { words } from "../format";
import { Rename } from "./ControlMenu";

export function PortNames() {
  const outputs = useGraph((graph) => graph.outputs);
  return (
    <section className="ports" aria-label="Outputs of the subgraph">
      <h3 className="list-head">Outputs</h3>
      {[...outputs].map(([name, link]) => (
        <Port key={name} name={name} link={link} taken={outputs} />
      ))}
      {outputs.size === 0 && <p className="meta">None. A right-click on an output of a node makes it one.</p>}
    </section>
  );
}

function Port({ name, link, taken }: { name: string; link: From; taken: ReadonlyMap<string, From> }) {
  const [isRenaming, setRenaming] = useState(false);
  const rename = (wanted: string) => renameShownPort("outputs", name, wanted);
  return (
    <div className="control">
      {isRenaming ? (
        <Rename name={name} taken={taken} onRename={rename} onDone={() => setRenaming(false)} />
      ) : (
        <span className="control-name cut">{words(name)}</span>
      )}
      <div className="control-field">
        <span className="meta grow cut">
          {link.node}.{link.output}
        </span>
        <button type="button" className="button mini quiet" onClick={() => setRenaming(true)}>
          Rename
        </button>
        <button
          type="button"
          className="button mini quiet"
          onClick={() => edit(`Remove the output ${words(name)}`, (graph) => deleteOutput(graph, name))}
        >
          Remove
        </button>
      </div>
    </div>
  );
}
