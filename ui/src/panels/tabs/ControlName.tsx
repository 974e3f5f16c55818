import { lazy, Suspense } from "react";
import type { GraphInput } from "../../document/graph";
import { useReady } from "../../state/ready";
import { words } from "../format";

const ControlMenu = lazy(async () => ({ default: (await import("./ControlMenu")).ControlMenu }));

/** The name of a control; its menu is loaded when the page is ready. */
export function ControlName({ name, item, id }: { name: string; item: GraphInput; id: string }) {
  const isReady = useReady((state) => state.isReady);
  const plain = (
    <span id={id} className="control-name cut" title={item.doc || words(name)}>
      {words(name)}
    </span>
  );
  if (!isReady) return plain;
  return (
    <Suspense fallback={plain}>
      <ControlMenu id={id} name={name} item={item} />
    </Suspense>
  );
}
