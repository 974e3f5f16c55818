import { type Fix, fixed, fixLabel } from "../../document/edit/fixes";
import { documents, useDocumentState } from "../../state/editor";
import { say } from "../../state/status";

/** A button that applies the fix of a problem as one step; nothing if the graph has changed so that it does not fit. */
export function FixButton({ fix }: { readonly fix: Fix }) {
  const fits = useDocumentState(({ root }) => fixed(root, fix) !== root);
  if (!fits) return null;
  const text = `Fix: ${fixLabel(fix)}`;
  const apply = () => {
    documents.getState().editRoot(text, (root) => fixed(root, fix));
    say(`${text}. Undo takes it back.`);
  };
  return (
    <button type="button" className="button mini nodrag cut" title={text} onClick={apply}>
      {text}
    </button>
  );
}
