import type { NodeProps } from "@xyflow/react";
import { type ComponentProps, type CSSProperties, memo } from "react";
import { useShallow } from "zustand/react/shallow";
import { subgraphPath } from "../../commands/subgraphs";
import { setCollapsed, setOff } from "../../document/edit/nodes";
import type { Graph } from "../../document/graph";
import type { NodeGeometry } from "../../schema/geometry";
import type { NodeType } from "../../schema/nodeTypes";
import { useCheck, useNodeProblems } from "../../server/documents/check";
import { isStopping } from "../../server/runs/runState";
import { useNodeRun, useRuns } from "../../server/runs/runStore";
import { useSubmission } from "../../server/runs/runs";
import {
  edit,
  graph,
  showGraph,
  useDocumentState,
  useGraph,
  useSelection,
  useWholeId,
} from "../../state/editor";
import { useTyped } from "../../state/types";
import { useView } from "../../state/view";
import { Icon, IconButton } from "../../style/Icon";
import { useAddSearch } from "../add/addSearchStore";
import { useFar } from "../far";
import type { FlowNode } from "../flow";
import { drawnShape } from "../flow";
import { isTold } from "./inputProblems";
import { NodeBody } from "./NodeBody";
import { NodePicture } from "./NodePicture";
import { NodeTitle } from "./NodeTitle";
import { Socket } from "./Socket";
import { type NodeState, nodeState } from "./states";

/** A node of the graph. What it shows comes from the schema of its type; a new type needs no code here. */
export const GraphNode = memo(function GraphNode({ id, selected, data }: NodeProps<FlowNode>) {
  const isFar = useFar((state) => state.isFar);
  return isFar ? <FarNode id={id} /> : <NearNode id={id} selected={selected} drawn={data.shape} />;
});

function useNodeState(id: string, type: NodeType, isOff: boolean): NodeState {
  const whole = useWholeId(id);
  const run = useNodeRun(whole);
  const shown = useShownRunEnds();
  useSubmission((state) => state.problems);
  const problems = useNodeProblems(whole).filter(isTold);
  const plan = useCheck((state) => (state.isStale ? null : (state.plan[whole] ?? null)));
  const missing = type.missing ? type.name : null;
  return nodeState({ run, ...shown, plan, problems, isOff, missing });
}

/** The phase and the end of the shown run; they change few times per run, not with each progress. */
function useShownRunEnds() {
  return useRuns(
    useShallow(({ shown, queue }) => {
      const run = shown === null ? undefined : queue.runs[shown];
      return { phase: run?.phase ?? null, finished: run?.finished ?? null, isStopping: isStopping(run) };
    }),
  );
}

/** The type beside the title; that of a subgraph opens it. */
function TypeName({ id, type }: { id: string; type: NodeType }) {
  const path = useDocumentState(() => subgraphPath(type.id)?.join("/"));
  if (path !== undefined) {
    return (
      <button
        type="button"
        className="node-type cut nodrag"
        title="Open the subgraph"
        onClick={() => showGraph(path.split("/"), id)}
      >
        {type.name}
      </button>
    );
  }
  return (
    <span className="node-type cut">{type.name.toLowerCase() === id.toLowerCase() ? "" : type.name}</span>
  );
}

/** A node of a far zoom: a box with the colour of its category, and its title if that can be read. */
function FarNode({ id }: { id: string }) {
  const typed = useTyped();
  const type = typed.type(id);
  const isOff = useGraph((state) => state.nodes.get(id)?.off === true);
  const title = useGraph((state) => state.nodes.get(id)?.title ?? "");
  const isTiny = useFar((far) => far.isTiny);
  const state = useNodeState(id, type, isOff);
  const isLoud = state.name === "failed" || state.name === "running";
  return (
    <div className={`far-node ${familyOf(typed, id)} ${state.name}`} data-node={id} data-state={state.name}>
      {!isTiny && label(title, id)}
      {isLoud && state.icon && <Icon name={state.icon} size={40} label={state.name} />}
    </div>
  );
}

interface NearProps {
  readonly id: string;
  readonly selected: boolean;
  /** A new shape draws the node again. */
  readonly drawn: NodeGeometry | undefined;
}

const NearNode = memo(function NearNode({ id, selected }: NearProps) {
  const typed = useTyped();
  const entry = useGraph((state) => state.nodes.get(id));
  const isCollapsed = useGraph((state) => state.view.collapsed.includes(id));
  useSelection((selection) => selection.unfolded.has(id));
  useView((view) => view.textScale);
  const type = typed.type(id);
  const state = useNodeState(id, type, entry?.off === true);
  if (!entry) return null;
  const shape = drawnShape(graph(), typed, id);
  const family = familyOf(typed, id);
  const classes = ["node", state.name, selected && "selected", isCollapsed && "collapsed", family];
  const style = state.part == null ? undefined : ({ "--part": `${100 * state.part}%` } as CSSProperties);

  return (
    <article
      className={classes.filter(Boolean).join(" ")}
      style={style}
      tabIndex={-1}
      data-node={id}
      data-state={state.name}
      aria-label={[label(entry.title, id), type.name, stateWords(state)].filter(Boolean).join(", ")}
    >
      <div className="node-head">
        <span className="stripe" />
        <NodeTitle id={id} />
        <TypeName id={id} type={type} />
        <HeadButton
          icon="off"
          label={`Switch ${id} ${entry.off ? "on" : "off"}`}
          title={entry.off ? "Switch on" : "Switch off"}
          aria-pressed={entry.off}
          change={(state) => setOff(state, [id], !entry.off)}
        />
        <HeadButton
          icon={isCollapsed ? "right" : "down"}
          label={`${isCollapsed ? "Open" : "Collapse"} ${id}`}
          title={isCollapsed ? "Open" : "Collapse"}
          aria-expanded={!isCollapsed}
          change={(state) => setCollapsed(state, [id], !isCollapsed)}
        />
        {state.icon && <Icon name={state.icon} size={14} />}
      </div>
      {isCollapsed ? (
        <CollapsedSockets id={id} />
      ) : (
        <>
          <NodeBody id={id} type={type} entry={entry} rows={shape.rows} />
          {shape.preview !== undefined && <NodePicture id={id} />}
          <div className="node-foot">
            {state.strong && <b>{state.strong}</b>}
            <span className="cut" title={state.words}>
              {state.words}
            </span>
            {state.right && <span className="node-foot-right">{state.right}</span>}
            {type.missing && (
              <button
                type="button"
                className="link nodrag node-foot-right"
                onClick={(event) => {
                  const box = event.currentTarget.getBoundingClientRect();
                  useAddSearch.getState().openReplace({ x: box.left, y: box.bottom + 19 }, id);
                }}
              >
                Replace with…
              </button>
            )}
          </div>
        </>
      )}
    </article>
  );
});

type HeadButtonProps = ComponentProps<typeof IconButton> & { readonly change: (graph: Graph) => Graph };

/** A button beside the title of a node that changes the graph. */
function HeadButton({ change, ...props }: HeadButtonProps) {
  return (
    <IconButton
      {...props}
      className="head-button nodrag"
      size={14}
      onClick={() => edit(props.label, change)}
    />
  );
}

function label(title: string, id: string): string {
  return title || id;
}

function stateWords(state: NodeState): string {
  return [state.name === "idle" ? "" : state.name, state.strong, state.words].filter(Boolean).join(" ");
}

/** The class of the family that gives a node its stripe: that of its first output, else of its first input. */
function familyOf(typed: ReturnType<typeof useTyped>, id: string): string {
  const type = typed.type(id);
  const first = type.outputs[0];
  const wire = first ? typed.output({ kind: "from", node: id, output: first.name }) : type.inputs[0]?.wire;
  return `family-${wire ? typed.types.family(wire) : "values"}`;
}

/** All sockets of a collapsed node, at the middle of its header. */
function CollapsedSockets({ id }: { id: string }) {
  const typed = useTyped();
  const type = typed.type(id);
  const wired = useGraph(
    useShallow((state) =>
      [...(state.nodes.get(id)?.inputs ?? [])]
        .filter(([, held]) => held.kind === "from")
        .map(([name]) => name),
    ),
  );
  return (
    <>
      {type.outputs.map(({ name }) => {
        const wire = typed.output({ kind: "from", node: id, output: name });
        return <Socket key={name} node={id} name={name} type="source" wire={wire} />;
      })}
      {type.inputs
        .filter((input) => wired.includes(input.name))
        .map(({ name, wire }) => (
          <Socket key={name} node={id} name={name} type="target" wire={wire} isWired />
        ))}
    </>
  );
}
