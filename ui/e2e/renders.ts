/** Counts which nodes of the canvas React renders, by the hook that React offers to developer tools. */
import type { Page } from "@playwright/test";

interface Fiber {
  readonly tag: number;
  readonly flags: number;
  readonly stateNode: unknown;
  readonly alternate: Fiber | null;
  readonly child: Fiber | null;
  readonly sibling: Fiber | null;
}

/** Record the nodes that each commit of the page renders; call it before the page is opened. */
export async function recordRenders(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const HOST = 5;
    const COMPONENTS = new Set([0, 1, 11, 15]); // functions, classes, forwarded references, memoised functions
    const PERFORMED_WORK = 1;
    const commits: string[][] = [];
    Object.assign(window, { commits });

    /** The node that a fiber draws or is in. */
    function nodeAt(fiber: Fiber, around: string | undefined): string | undefined {
      if (fiber.tag !== HOST) return around;
      const element = fiber.stateNode as HTMLElement;
      return element.classList?.contains("react-flow__node") ? element.dataset.id : around;
    }

    /** Add the nodes whose components have rendered; parts that the commit did not touch are left out. */
    function collect(fiber: Fiber, around: string | undefined, found: Set<string>): void {
      const before = fiber.alternate;
      const node = nodeAt(fiber, around);
      const hasRendered = before === null || (fiber.flags & PERFORMED_WORK) !== 0;
      if (node !== undefined && COMPONENTS.has(fiber.tag) && hasRendered) found.add(node);
      if (before !== null && before.child === fiber.child) return;
      for (let child = fiber.child; child !== null; child = child.sibling) collect(child, node, found);
    }

    Object.assign(window, {
      __REACT_DEVTOOLS_GLOBAL_HOOK__: {
        supportsFiber: true,
        renderers: new Map(),
        inject: () => 1,
        onCommitFiberRoot: (_: number, root: { current: Fiber }) => {
          const found = new Set<string>();
          collect(root.current, undefined, found);
          if (found.size > 0) commits.push([...found]);
        },
        onCommitFiberUnmount: () => undefined,
        onPostCommitFiberRoot: () => undefined,
        checkDCE: () => undefined,
      },
    });
  });
}

/** The nodes that each commit since the last call has rendered; commits that rendered no node are left out. */
export async function takeRenders(page: Page): Promise<string[][]> {
  return page.evaluate(() => (window as unknown as { commits: string[][] }).commits.splice(0));
}
