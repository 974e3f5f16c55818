import { type PointerEvent, useRef } from "react";
import { type Json, numberOf } from "../document/json/json";
import type { Widget } from "../schema/nodeTypes";
import { numberJson, stepOf } from "./NumberField";

const PIXELS_PER_STEP = 6;

/** Handlers for the label of a number: dragging sideways changes the value, Shift makes small changes. */
export function useScrub(widget: Widget, value: Json | undefined, onChange: (value: Json) => void) {
  const start = useRef<{ x: number; value: number; before: Json } | null>(null);
  if (widget.kind !== "number") return undefined;

  return {
    className: "scrub nodrag nopan",
    onPointerDown(event: PointerEvent<HTMLElement>) {
      const number = numberOf(value);
      if (event.button !== 0 || number === undefined || value === undefined) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      start.current = { x: event.clientX, value: number, before: value };
    },
    onPointerMove(event: PointerEvent<HTMLElement>) {
      if (start.current === null) return;
      const steps = Math.round((event.clientX - start.current.x) / PIXELS_PER_STEP);
      const size = event.shiftKey && !widget.whole ? stepOf(widget) / 10 : stepOf(widget);
      const next = numberJson(widget, start.current.value + steps * size);
      if (numberOf(next) !== numberOf(value)) onChange(next);
    },
    onPointerUp() {
      start.current = null;
    },
    onLostPointerCapture() {
      start.current = null;
    },
  };
}
