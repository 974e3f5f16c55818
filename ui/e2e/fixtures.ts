/** Starts a server with a fresh home folder, and opens its page. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect, type Locator, type Page } from "@playwright/test";

export const ROOT = join(import.meta.dirname, "..", "..");
const PYTHON = join(ROOT, ".venv", "bin", "python");

/** A running `safelight serve`. */
export class Server {
  readonly home: string;
  url = "";
  private process: ChildProcess | null = null;

  constructor(home = mkdtempSync(join(tmpdir(), "safelight-e2e-"))) {
    this.home = home;
  }

  /** Start it and wait for its address. `port` keeps the address of an earlier start. */
  async start(options: { graph?: string; port?: number; tokenFile?: string } = {}): Promise<string> {
    const args = [
      "-m",
      "engine",
      "serve",
      "--no-browser",
      "--home",
      this.home,
      "--port",
      `${options.port ?? 0}`,
    ];
    if (options.tokenFile) args.push("--token-file", options.tokenFile);
    if (options.graph) args.push(options.graph);
    const env = { ...process.env, PYTHONPATH: ROOT, OMP_NUM_THREADS: "1" };
    const child = spawn(PYTHON, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.process = child;
    let output = "";
    this.url = await new Promise<string>((resolve, reject) => {
      const read = (data: Buffer) => {
        output += data.toString();
        const found = /http:\/\/\S+/.exec(output);
        if (found) resolve(found[0]);
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.on("exit", (code) => reject(new Error(`the server ended with ${code}:\n${output}`)));
    });
    return this.url;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get token(): string {
    return new URL(this.url).searchParams.get("token") ?? "";
  }

  /** Ask the API, as a program does. */
  async get<Answer>(path: string): Promise<Answer> {
    const answer = await fetch(new URL(`/api/v1${path}`, this.url), {
      headers: { Authorization: `Bearer ${this.token}` },
    });
    return (await answer.json()) as Answer;
  }

  /** Put a graph into the home; returns the path of its file. */
  addGraph(name: string, text: string): string {
    const folder = join(this.home, "graphs");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${name}.json`);
    writeFileSync(path, text);
    return path;
  }

  /** End the server and its workers at once, as a crash does. */
  kill(): void {
    if (this.process?.pid === undefined) return;
    try {
      process.kill(-this.process.pid, "SIGKILL");
    } catch {
      // It has ended already.
    }
    this.process = null;
  }

  /** End the server, and delete its home folder. */
  async stop(): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child?.pid !== undefined && child.exitCode === null) {
      const end = new Promise((resolve) => child.on("exit", resolve));
      process.kill(child.pid, "SIGTERM");
      await end;
    }
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** What a scenario does and sees on the page. */
export class Canvas {
  readonly page: Page;
  readonly server: Server;

  constructor(page: Page, server: Server) {
    this.page = page;
    this.server = server;
  }

  /** Open the page, and wait until its graph is there. */
  async open(graph?: string): Promise<void> {
    const query = graph === undefined ? "" : `&graph=${encodeURIComponent(graph)}`;
    await this.page.goto(this.server.url + query);
    await expect(this.page.locator("footer")).toContainText("Ready");
    await expect(this.page.locator(".react-flow__node").first()).toBeVisible();
  }

  get nodes(): Locator {
    return this.page.locator("[data-node]");
  }

  node(id: string): Locator {
    return this.page.locator(`[data-node="${id}"]`);
  }

  /** The socket of an output (`source`) or input (`target`). */
  socket(node: string, name: string, type: "source" | "target"): Locator {
    return this.page.locator(`[data-nodeid="${node}"][data-handleid="${name}"].${type}`);
  }

  /** Give the canvas the keyboard focus. */
  async focus(): Promise<void> {
    await this.page.locator("[data-canvas]").focus();
  }

  /** Press keys while the canvas has the focus. */
  async press(keys: string): Promise<void> {
    await this.focus();
    await this.page.keyboard.press(keys);
  }

  /** Type into the list that is opening, and take its first row. */
  async choose(words: string): Promise<void> {
    await expect(this.page.locator("[role=combobox]:focus")).toBeVisible();
    await this.page.keyboard.type(words);
    await this.page.keyboard.press("Enter");
  }

  /** Select a node by the list that Ctrl+F opens; it takes the focus. */
  async find(id: string): Promise<void> {
    await this.press("Control+f");
    await this.choose(id);
    await expect(this.node(id)).toBeFocused();
  }

  /** The states of all nodes in view, by id. */
  async states(): Promise<Record<string, string>> {
    const pairs = await this.nodes.evaluateAll((all) =>
      all.map((node) => [node.getAttribute("data-node") ?? "", node.getAttribute("data-state") ?? ""]),
    );
    return Object.fromEntries(pairs);
  }

  /** Run the graph with Ctrl+Enter, and wait for the end of the run. */
  async run(): Promise<RunRow> {
    const before = await this.runs();
    await this.press("Control+Enter");
    await expect.poll(async () => (await this.runs()).length).toBeGreaterThan(before.length);
    return this.ended();
  }

  /** Wait until no run is queued or running; returns the latest. */
  async ended(): Promise<RunRow> {
    const isActive = (run: RunRow) => run.state === "queued" || run.state === "running";
    await expect.poll(async () => (await this.runs()).some(isActive)).toBe(false);
    const [latest] = await this.runs();
    if (!latest) throw new Error("there is no run");
    await expect(this.page.getByRole("button", { name: /^Run Ctrl/ })).toBeVisible();
    return latest;
  }

  /** The runs of the server, the newest first. */
  async runs(): Promise<RunRow[]> {
    return (await this.server.get<{ runs: RunRow[] }>("/runs")).runs;
  }

  /** The graph of the page, as its draft or the saved graph has it: what the clipboard gets for all of it. */
  async draft(): Promise<GraphJson | undefined> {
    const { drafts } = await this.server.get<{ drafts: { graph: GraphJson; saved: number }[] }>("/drafts");
    return drafts.sort((a, b) => b.saved - a.saved)[0]?.graph;
  }
}

export interface RunRow {
  id: string;
  state: string;
  document: string | null;
}

export interface GraphJson {
  nodes: Record<string, { type: string; off?: boolean; inputs?: Record<string, unknown> }>;
  inputs?: Record<string, { type: string; default?: unknown }>;
  view?: { waypoints?: Record<string, number[][]> };
}

interface Fixtures {
  canvas: Canvas;
}

interface WorkerFixtures {
  server: Server;
}

/** The server is shared by the scenarios of a worker; each scenario has its own page. */
export const test = base.extend<Fixtures, WorkerFixtures>({
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of fixtures out of this pattern
    async ({}, use) => {
      const server = new Server();
      await server.start();
      await use(server);
      await server.stop();
    },
    { scope: "worker" },
  ],
  canvas: async ({ page, server }, use) => {
    await use(new Canvas(page, server));
  },
});

export { expect };
