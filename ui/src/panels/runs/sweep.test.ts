import { expect, test } from "vitest";
import { useDocument } from "../../server/documents/documents";
import { addToSweep, useSweep } from "./sweep";

test("a sweep belongs to its document", () => {
  addToSweep("steps", 4);
  useDocument.setState({ isSaving: true });
  useDocument.setState({ id: "mine", isSaving: false }); // saved under a name
  expect(useSweep.getState().texts).toEqual({ steps: "4" });
  useDocument.setState({ id: "other", draft: "another" }); // another graph is opened
  expect(useSweep.getState()).toMatchObject({ texts: {}, newest: null });
});
