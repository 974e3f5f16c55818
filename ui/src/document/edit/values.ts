/** Changes of the values that inputs hold. */

import { type Graph, type InputEnd, literal, type Param } from "../graph";
import type { Json } from "../json/json";
import { withKey } from "../maps";
import { setBinding } from "./wires";

/** The value that an input holds, itself or through a graph input; undefined for a wire, or if it holds none. */
export function heldValue(graph: Graph, end: InputEnd): Json | undefined {
  const binding = graph.nodes.get(end.node)?.inputs.get(end.input);
  if (binding?.kind === "value") return binding.value;
  return binding?.kind === "param" ? graph.inputs.get(binding.name)?.default : undefined;
}

/** The graph input that an input takes its value from; undefined if it takes it from none. */
export function paramOf(graph: Graph, end: InputEnd): Param | undefined {
  const binding = graph.nodes.get(end.node)?.inputs.get(end.input);
  return binding?.kind === "param" ? binding : undefined;
}

/** Set the value of an input. If it takes a graph input, that input's default is set, and all who take it follow. */
export function setValue(graph: Graph, end: InputEnd, value: Json): Graph {
  const taken = paramOf(graph, end);
  const item = taken && graph.inputs.get(taken.name);
  if (!taken || !item) return setBinding(graph, end, literal(value));
  return { ...graph, inputs: withKey(graph.inputs, taken.name, { ...item, default: value, sweep: 0 }) };
}

/** Give an input its default value again, whatever it held. */
export function resetValue(graph: Graph, end: InputEnd): Graph {
  return setBinding(graph, end, undefined);
}
