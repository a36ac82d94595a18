/**
 * What push to deploy works with, handed in by who starts it: the machine's part of it.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Client } from "#client/client.ts";
import type { ControllerContext } from "#client/controller.ts";
import type { GitAddresses } from "./controller/repository-controller.ts";
import type { PublishSource } from "./deploy/function-of-folder.ts";
import type { GitCage } from "./git/git-cage.ts";
import type { DeliveryUser } from "./kinds.ts";
import type { StepTools } from "./pipeline/run-steps.ts";

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** What it works with. The informer factory runs already. */
export type DeliveryOptions = ControllerContext &
  StepTools & {
    /** Where repositories are kept. */
    readonly folder: string;
    readonly cage: GitCage;
    /** A client with somebody's rights. */
    readonly clientAs: (user: DeliveryUser) => Client;
    /** Who needs no token, by the machine's word on whose connection it is. */
    readonly localUser: (socket: Socket) => Promise<DeliveryUser | undefined>;
    /** Serves HTTP; gives where, and what ends it. */
    readonly listen: (
      handler: HttpHandler,
    ) => Promise<{ readonly addresses: GitAddresses; readonly stop: () => Promise<void> }>;
    readonly publish: PublishSource;
    /** For what is checked out. */
    readonly workRoot: string;
    readonly signal: AbortSignal;
  };
