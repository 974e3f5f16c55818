import { Handle, type HandleType, Position, useStoreApi } from "@xyflow/react";
import { XYHandle } from "@xyflow/system";
import { type MouseEvent, memo } from "react";
import { fitOf } from "../../schema/connections";
import { type WireType, wireName } from "../../schema/wireType";
import { graph } from "../../state/editor";
import { typed } from "../../state/types";
import { useWireDrag, wireEnd } from "../wires/wireDrag";

interface SocketProps {
  readonly node: string;
  readonly name: string;
  readonly type: HandleType;
  readonly wire: WireType;
  readonly isWired?: boolean;
  /** True for an input that holds its own value; it is drawn small until a wire comes near. */
  readonly isResting?: boolean;
  readonly isOptional?: boolean;
}

/** The socket of an input or output. Dragging from a wired input takes the wire off. */
export const Socket = memo(function Socket(props: SocketProps) {
  const { node, name, type, wire, isWired, isResting, isOptional } = props;
  const look = typed().types.look(wire);
  const store = useStoreApi();
  const fits = useWireDrag((drag) => {
    if (drag.from === null || drag.from.end.node === node) return null;
    const own = wireEnd(type, node, name);
    if (own.kind === drag.from.kind) return false;
    const [source, to] = own.kind === "output" ? [own, drag.from] : [drag.from, own];
    if (source.kind !== "output" || to.kind !== "input") return false;
    const graphTypes = typed();
    const input = graphTypes.input(to.end);
    return input !== undefined && fitOf(graphTypes.types, graphTypes.output(source.end), input) !== undefined;
  });

  const pullOff = (event: MouseEvent<HTMLDivElement>) => {
    if (event.button !== 0 || type !== "target" || !isWired || event.altKey) return;
    const source = graph().nodes.get(node)?.inputs.get(name);
    if (source?.kind !== "from") return;
    event.stopPropagation();
    const flow = store.getState();
    useWireDrag.setState({ pulled: `${node}.${name}` });
    const forget = () => useWireDrag.setState({ pulled: null });
    window.addEventListener("mouseup", () => setTimeout(forget), { once: true });
    XYHandle.onPointerDown(event.nativeEvent, {
      autoPanOnConnect: flow.autoPanOnConnect,
      connectionMode: flow.connectionMode,
      connectionRadius: flow.connectionRadius,
      domNode: flow.domNode,
      handleId: source.output,
      nodeId: source.node,
      nodeLookup: flow.nodeLookup,
      isTarget: false,
      edgeUpdaterType: "source",
      lib: flow.lib,
      flowId: flow.rfId,
      cancelConnection: flow.cancelConnection,
      panBy: flow.panBy,
      isValidConnection: (edge) => store.getState().isValidConnection?.(edge) ?? true,
      onConnect: (connection) => store.getState().onConnect?.(connection),
      onConnectStart: (started, params) => store.getState().onConnectStart?.(started, params),
      onConnectEnd: (ended, state) => store.getState().onConnectEnd?.(ended, state),
      updateConnection: flow.updateConnection,
      getTransform: () => store.getState().transform,
      getFromHandle: () => store.getState().connection.fromHandle,
      dragThreshold: 2,
      handleDomNode: event.currentTarget,
    });
  };

  const classes = [
    "socket",
    `family-${look.family}`,
    `shape-${look.shape}`,
    look.lists > 0 && "lists",
    isWired && "wired",
    isResting && !fits && "rest",
    isOptional && !isWired && "optional",
    fits === true && "fits",
    fits === false && "refuses",
  ];
  return (
    <Handle
      id={name}
      type={type}
      position={type === "target" ? Position.Left : Position.Right}
      className={classes.filter(Boolean).join(" ")}
      title={`${name}: ${wireName(wire)}`}
      onMouseDownCapture={pullOff}
    />
  );
});
