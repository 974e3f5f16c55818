/** Finds a browser of this machine. Nothing is downloaded but a package of Debian, and that only as root. */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const ELSEWHERE = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/** The program of a Chromium or Chrome; `SAFELIGHT_BROWSER` names another one. Undefined if there is none. */
export function findBrowser(): string | undefined {
  const found = process.env.SAFELIGHT_BROWSER || onMachine() || installed();
  if (found) return found;
  if (process.env.TEST_WORKER_INDEX === undefined) {
    const line = "!".repeat(78);
    process.stderr.write(
      `${line}\nThe browser tests are SKIPPED: there is no Chromium or Chrome on this machine.\n` +
        `Install one, such as: apt-get install chromium. Or name it in SAFELIGHT_BROWSER.\n${line}\n`,
    );
  }
  return undefined;
}

function onMachine(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const paths = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return [...paths, ...ELSEWHERE].find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Install Debian's Chromium, if this process may. */
function installed(): string | undefined {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return undefined;
  process.stderr.write("Installing Chromium for the browser tests (once) ...\n");
  const options = { stdio: "ignore", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
  try {
    execFileSync("apt-get", ["update", "--quiet"], options);
    execFileSync("apt-get", ["install", "--yes", "--quiet", "--no-install-recommends", "chromium"], options);
  } catch {
    return undefined;
  }
  return onMachine();
}
