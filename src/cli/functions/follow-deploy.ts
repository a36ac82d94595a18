/**
 * Shows how a deployed Function comes to be ready, or says why it does not.
 */
import type { FunctionObject } from "#api/nodeless/function.ts";
import { followFunction, type FollowFunctionOptions, FunctionFailed } from "#client/nodeless/follow-function.ts";
import { UserError } from "#cli/command.ts";
import type { Terminal } from "#cli/terminal.ts";

export type FollowDeployOptions = Omit<FollowFunctionOptions, "onLine" | "onWait" | "signal"> & {
  readonly terminal: Terminal;
  readonly timeoutSeconds: number;
};

/** Resolves with the Function when it is ready. Throws UserError with the reason when it will not be, or is not in time. */
export async function followDeploy(options: FollowDeployOptions): Promise<FunctionObject> {
  const { terminal, name, timeoutSeconds } = options;
  const signal = AbortSignal.timeout(timeoutSeconds * 1000);
  const how = `'nodeless fn describe ${name}' shows how far it is`;
  let waitsFor = "";
  const onLine = (line: string): void => terminal.print(`   ${line}`);
  const onWait = (what: string): void => {
    waitsFor = what;
    if (what !== "") terminal.print(`   waits: ${what}`);
  };
  try {
    return await followFunction({ ...options, onLine, onWait, signal });
  } catch (error) {
    if (error instanceof FunctionFailed)
      throw new UserError(`${error.message}${error.isTriedAgain ? `\nIt is tried again by itself: ${how}` : ""}`, {
        cause: error,
      });
    if (!signal.aborted) throw error;
    const last = waitsFor === "" ? "" : ` (${waitsFor})`;
    throw new UserError(`it is not ready after ${timeoutSeconds} s${last}: ${how}`, { cause: error });
  }
}
