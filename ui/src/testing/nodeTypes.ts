/** The node types of this checkout, which Python lists. */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type NodeTypeJson, NodeTypes } from "../schema/nodeTypes";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

const LIST = `
import json
from engine.packs.registry import Registry
types = Registry.find().types
print(json.dumps([types[name].schema() for name in sorted(types)]))
`;

/** Ask Python for the node types, as the server describes them. */
export function listNodeTypes(): NodeTypes {
  const own = join(ROOT, ".venv/bin/python");
  const python = existsSync(own) ? own : (process.env.PYTHON ?? "python3");
  const answer = execFileSync(python, ["-c", LIST], {
    cwd: ROOT,
    env: { ...process.env, PYTHONPATH: ROOT },
    maxBuffer: 64 << 20,
    encoding: "utf8",
  });
  return new NodeTypes(JSON.parse(answer) as NodeTypeJson[]);
}
