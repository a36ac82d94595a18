/**
 * Git over HTTP, for `node:http`: finds out who asks, whether he may, and for which repository, and has Git answer. A few at once; the others wait.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { quantityValue } from "#apimachinery/quantity.ts";
import type { Logger } from "#component-base/logger.ts";
import { GitMissing } from "#delivery/git/git.ts";
import type { RepositoryFolders } from "#delivery/git/bare-repository.ts";
import type { DeliveryUser, RepositoryObject } from "#delivery/kinds.ts";
import { hearPush, type PushRequest, PushVoice } from "#delivery/push/push-conversation.ts";
import type { Access } from "./access.ts";
import { type GitTarget, parseTarget, refuseStrangers } from "./git-request.ts";
import { drain, serveGit } from "./http-backend.ts";
import { HttpFault } from "./http-fault.ts";
import { Slots } from "./slots.ts";

/** A push that waits for its verdict. */
export type Push = PushRequest & {
  readonly repository: RepositoryObject;
  readonly user: DeliveryUser;
  readonly voice: Pick<PushVoice, "say">;
  /** Aborts when nobody listens any more. */
  readonly signal: AbortSignal;
};

/** What becomes of pushes. */
export interface PushReceiver {
  /** Whether the push counts. Never rejects. Called before its refs are changed. */
  receive(push: Push): Promise<boolean>;
  /** All of the push is over: its refs are what they are now. Called after each {@link receive}. */
  settle(push: Push): Promise<void>;
}

export type GitServerOptions = {
  readonly access: Pick<Access, "identify" | "check">;
  readonly folders: RepositoryFolders;
  readonly find: (namespace: string, name: string) => RepositoryObject | undefined;
  readonly receiver: PushReceiver;
  readonly onWebhook: (
    request: IncomingMessage,
    response: ServerResponse,
    repository: RepositoryObject,
  ) => Promise<void>;
  readonly logger: Logger;
};

const reserveBytes = 512 << 20;
const defaultMostBytes = 256 << 20;

export class GitServer {
  readonly #options: GitServerOptions;
  readonly #abort = new AbortController();
  /** Whoever pushes waits for his deployment; nobody who fetches is to wait for that. */
  readonly #slots = { "git-upload-pack": new Slots(8, 64), "git-receive-pack": new Slots(16, 64) };
  readonly #running = new Set<Promise<void>>();
  /** By repository: pushes under way. */
  readonly #pushing = new Map<string, number>();
  readonly #tidying = new Map<string, Promise<void>>();

  constructor(options: GitServerOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const running = this.#handle(request, response).finally(() => this.#running.delete(running));
    this.#running.add(running);
    await running;
  }

  /** Ends all that is under way, and waits for its end. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error("the Git server stops"));
    await Promise.all(this.#running);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const target = parseTarget(request);
      // Whoever signs what he sends may come by any name, through whatever leads here.
      if (target.kind === "webhook") await this.#webhook(target, request, response);
      else await this.#git(target, request, response);
    } catch (error) {
      await this.#refuse(request, response, error);
    }
  }

  async #webhook({ namespace, name }: GitTarget, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const repository = this.#options.find(namespace, name);
    // The same for what is not there and what wants none: nobody learns names here.
    if (repository?.spec?.webhook === undefined) throw new HttpFault(404, "no webhook is expected here");
    await this.#options.onWebhook(request, response, repository);
  }

  async #git(
    target: Extract<GitTarget, { kind: "git" }>,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    refuseStrangers(request);
    const { access, find, folders } = this.#options;
    const { namespace, name, service } = target;
    const user = await access.identify(request);
    await access.check(user, service === "git-receive-pack" ? "update" : "get", namespace, name);
    const repository = find(namespace, name);
    if (repository === undefined || repository.metadata?.deletionTimestamp !== undefined)
      throw new HttpFault(404, `namespace ${namespace} has no Repository ${name}`);
    const uid = repository.metadata?.uid ?? "";
    const git = await folders.ensure(uid, repository.spec?.branch ?? "main");
    const mostBytes = quantityValue(repository.spec?.maxPushSize ?? defaultMostBytes);
    if (target.path === "git-receive-pack") await refuseWithoutRoom(folders, mostBytes);
    const serve = async () => {
      if (target.path === "git-receive-pack") await this.#beginPush(uid);
      const pushing = new AbortController();
      let push: Promise<void> | undefined;
      const signal = AbortSignal.any([this.#abort.signal, pushing.signal]);
      const onChannel = (channel: Duplex) => (push = this.#push(channel, repository, user, signal));
      response.once("close", () => pushing.abort(new Error("whoever pushed is gone")));
      try {
        await serveGit(request, response, {
          git,
          target,
          userName: user.name,
          mostBytes,
          onChannel,
          signal: this.#abort.signal,
        });
      } finally {
        pushing.abort(new Error("the push is over"));
        // Who pushed hears the end when all of it is written down.
        await push;
        if (target.path === "git-receive-pack") await this.#endPush(uid);
      }
      response.end();
    };
    // What is refused in the end waits for no one.
    await this.#slots[service].run(serve, this.#abort.signal);
  }

  async #beginPush(uid: string): Promise<void> {
    await this.#tidying.get(uid);
    this.#pushing.set(uid, (this.#pushing.get(uid) ?? 0) + 1);
  }

  /** One that is broken off is killed, and cannot tidy up after itself. */
  async #endPush(uid: string): Promise<void> {
    const left = (this.#pushing.get(uid) ?? 1) - 1;
    if (left > 0) return void this.#pushing.set(uid, left);
    this.#pushing.delete(uid);
    const tidying = this.#options.folders.removeQuarantines(uid).catch((error: unknown) => {
      this.#options.logger.warn("Could not remove what broken pushes have left", { error });
    });
    this.#tidying.set(uid, tidying);
    await tidying;
    if (this.#tidying.get(uid) === tidying) this.#tidying.delete(uid);
  }

  async #push(channel: Duplex, repository: RepositoryObject, user: DeliveryUser, signal: AbortSignal): Promise<void> {
    const { receiver, logger } = this.#options;
    const over = new Promise<void>((resolve) => channel.once("close", resolve));
    const request = await hearPush(channel);
    channel.resume(); // else its end is not seen
    if (request === undefined) return;
    const voice = new PushVoice(channel);
    const push: Push = { ...request, repository, user, voice, signal };
    voice.end(await receiver.receive(push));
    await over;
    await receiver.settle(push).catch((error: unknown) => {
      logger.error("A push could not be settled", { error });
    });
  }

  async #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): Promise<void> {
    const { logger } = this.#options;
    if (response.headersSent || response.destroyed) {
      logger.debug("Broke off an answer to Git", { path: request.url, error });
      response.destroy();
      return;
    }
    const fault =
      error instanceof HttpFault
        ? error
        : error instanceof GitMissing
          ? new HttpFault(503, error.message)
          : new HttpFault(500, "the server failed; its log says more");
    if (fault.status === 500) logger.error("A request of Git failed", { path: request.url, error });
    await drain(request, 1 << 20);
    response.writeHead(fault.status, { ...fault.headers, "content-type": "text/plain; charset=utf-8" });
    response.end(`${fault.message}\n`);
  }
}

/** Before a byte of it is taken: a disk that is full harms everybody. */
async function refuseWithoutRoom(folders: RepositoryFolders, mostBytes: number): Promise<void> {
  const free = await folders.freeBytes();
  if (free < mostBytes + reserveBytes)
    throw new HttpFault(507, `there is too little room on the disk: ${Math.floor(free / 2 ** 20)} MiB are free`);
}
