import { expect, test } from "vitest";
import { readGraph } from "../../document/file/read";
import { useCheck } from "../../server/documents/check";
import type { Problem } from "../../server/requests/problems";
import { useSubmission } from "../../server/runs/runs";
import { inputProblems } from "./inputProblems";

const graph = readGraph(JSON.stringify({ safelight: 1, nodes: { n: { type: "Blur", inputs: {} } } }));
const problem = (node: string, more: Partial<Problem> = {}): Problem => ({
  code: "missing_file",
  severity: "error",
  node,
  input: "radius",
  message: "there is no such file",
  hint: null,
  ...more,
});

test.each([
  [problem("n"), ["radius"]],
  [problem("n", { severity: "warning" }), []],
  [problem("n", { input: null }), []],
  [problem("n/inner"), []],
])("of %j, the inputs %j are marked", (found, marked) => {
  useCheck.setState({ ofNode: { n: [found] } });
  expect([...inputProblems(graph, "n").keys()]).toEqual(marked);
});

test("an input without a wire is an error on the node only after a run was refused for it", () => {
  const missing = problem("n", { code: "missing_input" });
  useCheck.setState({ ofNode: { n: [missing] } });
  expect(inputProblems(graph, "n").size).toBe(0);
  useSubmission.setState({ problems: [{ ...missing, input: "other" }] });
  expect(inputProblems(graph, "n").size).toBe(0);
  useSubmission.setState({ problems: [missing] });
  expect([...inputProblems(graph, "n").keys()]).toEqual(["radius"]);
});

test("the first error of an input is shown in sentences", () => {
  useCheck.setState({ ofNode: { n: [problem("n", { hint: "choose another" }), problem("n")] } });
  expect(inputProblems(graph, "n").get("radius")).toEqual({
    message: "There is no such file.",
    hint: "Choose another.",
  });
});
