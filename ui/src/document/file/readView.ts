/** Reads the `view` of a graph document: frames, notes, collapsed nodes and waypoints. */

import { type Box, EMPTY_VIEW, type Frame, type Note, type Point, type View } from "../graph";
import { isList, type Json, type JsonObject } from "../json/json";
import { type Path, short } from "../problems";
import { type Fields, shown } from "./fields";
import { COLOUR, LINK } from "./format";

/** The view that a document describes; problems go to `fields`. */
export function readView(fields: Fields, document: JsonObject, outer: Path): View {
  if (!document.has("view")) return EMPTY_VIEW;
  const tree = fields.part(document, "view", "the view", outer);
  const path = [...outer, "view"];
  fields.rejectUnknownKeys(tree, ["frames", "notes", "collapsed", "waypoints"], "the view", path);
  const frames = new Map<string, Frame>();
  for (const [name, item] of fields.part(tree, "frames", "the list of frames", path)) {
    const place = [...path, "frames", name];
    if (fields.isId(name, "the frame id", place)) frames.set(name, readFrame(fields, name, item, place));
  }
  const notes = new Map<string, Note>();
  for (const [name, item] of fields.part(tree, "notes", "the list of notes", path)) {
    const place = [...path, "notes", name];
    if (fields.isId(name, "the note id", place)) notes.set(name, readNote(fields, name, item, place));
  }
  const collapsed = fields.names(tree, "collapsed", "the list of collapsed nodes", path);
  const waypoints = new Map<string, readonly Point[]>();
  for (const [end, item] of fields.part(tree, "waypoints", "the list of waypoints", path)) {
    const points = readWaypoints(fields, end, item, [...path, "waypoints", end]);
    if (points) waypoints.set(end, points);
  }
  return { frames, notes, collapsed, waypoints };
}

function readFrame(fields: Fields, name: string, item: Json, path: Path): Frame {
  const place = `the frame ${short(name)}`;
  const tree: JsonObject = fields.object(item, place, path) ?? new Map();
  fields.rejectUnknownKeys(tree, ["title", "colour", "nodes", "notes", "frames", "box"], place, path);
  const box = tree.has("box")
    ? numbers(fields, tree.get("box"), 4, `the box of ${place}`, [...path, "box"])
    : undefined;
  return {
    title: fields.text(tree, "title", `the title of ${place}`, path),
    colour: readColour(fields, tree, place, path),
    nodes: fields.names(tree, "nodes", `the list of nodes of ${place}`, path),
    notes: fields.names(tree, "notes", `the list of notes of ${place}`, path),
    frames: fields.names(tree, "frames", `the list of frames of ${place}`, path),
    box: box as Box | undefined,
  };
}

function readNote(fields: Fields, name: string, item: Json, path: Path): Note {
  const place = `the note ${short(name)}`;
  const tree = fields.object(item, place, path);
  if (tree === undefined) return { text: "", at: [0, 0], size: undefined, colour: "" };
  fields.rejectUnknownKeys(tree, ["text", "at", "size", "colour"], place, path);
  if (!tree.has("text")) fields.bad("bad_document", `${place} has no text`, path);
  const at = numbers(fields, tree.get("at"), 2, `the position of ${place}`, [...path, "at"]);
  const size = tree.has("size")
    ? numbers(fields, tree.get("size"), 2, `the size of ${place}`, [...path, "size"])
    : undefined;
  return {
    text: fields.text(tree, "text", `the text of ${place}`, path),
    at: at as unknown as Point,
    size: size as Point | undefined,
    colour: readColour(fields, tree, place, path),
  };
}

function readWaypoints(fields: Fields, end: string, item: Json, path: Path): Point[] | undefined {
  const place = `the wire ${short(end)}`;
  if (!LINK.test(end)) {
    fields.bad("bad_view", `${place} is not an input`, path, { hint: "write node.input" });
    return undefined;
  }
  if (!isList(item)) {
    const message = `the waypoints of ${place} are ${shown(item)}`;
    fields.bad("bad_view", message, path, { hint: "write a list of [x, y]" });
    return undefined;
  }
  return item.map(
    (point, n) => numbers(fields, point, 2, `a waypoint of ${place}`, [...path, n]) as unknown as Point,
  );
}

function readColour(fields: Fields, tree: JsonObject, place: string, path: Path): string {
  const colour = fields.text(tree, "colour", `the colour of ${place}`, path);
  if (!tree.has("colour") || COLOUR.test(colour)) return colour;
  const hint = 'write a name, or "#" and six hex digits';
  fields.bad("bad_view", `the colour of ${place} is ${short(colour)}`, [...path, "colour"], { hint });
  return "";
}

function numbers(
  fields: Fields,
  value: Json | undefined,
  count: number,
  place: string,
  path: Path,
): number[] {
  const valid = fields.wholeNumbers(value, count);
  if (valid) return valid;
  fields.bad("bad_view", `${place} is ${shown(value)}`, path, { hint: `write ${count} whole numbers` });
  return Array<number>(count).fill(0);
}
