/**
 * What is around Git where it reads what strangers sent: what this machine lets us put around it is said by who starts this part.
 */

/** Starts programs so that they see one folder of ours, have bounds, and end when this process does. */
export interface GitCage {
  /** A command that runs `command` in the cage. The folder is at `inside` in there. May be called often. */
  enclose(command: readonly string[], options: CageOptions): EnclosedCommand;
  /** Gives a folder and all in it to whom programs in the cage are. */
  adopt(folder: string): Promise<void>;
}

export type CageOptions = {
  /** The only one of ours that it may write. */
  readonly folder: string;
  /** Fetching from outside needs one. */
  readonly hasNetwork: boolean;
  /** Of one file that it writes. */
  readonly mostFileBytes?: number;
};

export type EnclosedCommand = { readonly command: readonly [string, ...string[]]; readonly inside: string };

/** No cage: for tests, which trust what they push. */
export const openCage: GitCage = {
  enclose: ([program = "", ...rest], { folder }) => ({ command: [program, ...rest], inside: folder }),
  adopt: async () => {},
};
