/**
 * Takes webhooks of outside Git hosts: what is signed as it should be, and was not taken before, has the branch fetched and deployed as a push would have it. The sender is answered at
 * once; what comes of it is in the Repository's status. What is deployed is what the host has now, whatever the notice says.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Secret } from "#api/generated/types/core-v1.ts";
import { quantityValue } from "#apimachinery/quantity.ts";
import type { Client } from "#client/client.ts";
import type { Logger } from "#component-base/logger.ts";
import { findCommit, type RepositoryFolders } from "#delivery/git/bare-repository.ts";
import { type Git, GitFailed } from "#delivery/git/git.ts";
import type { DeliveryUser, RepositoryObject, Webhook } from "#delivery/kinds.ts";
import type { RefChange } from "#delivery/push/push-conversation.ts";
import { Turns } from "#delivery/push/turns.ts";
import type { Push, PushReceiver } from "#delivery/server/git-server.ts";
import { HttpFault } from "#delivery/server/http-fault.ts";
import { Notices } from "./notices.ts";
import { type PushNotice, noticeOf } from "./push-notice.ts";
import { isGenuine } from "./signatures.ts";
import type { WebhookCounter } from "./webhook-counter.ts";

export type WebhookReceiverOptions = {
  readonly client: Client;
  readonly folders: RepositoryFolders;
  readonly receiver: PushReceiver;
  readonly counter: WebhookCounter;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

/** GitHub sends at most 25 MB; notices of pushes are far smaller. */
const mostBodyBytes = 10 << 20;
const mostAtOnce = 8;
const remembered = 500;
const fetchTimeoutMs = 300_000;
const zeros = "0".repeat(40);
const defaultMostBytes = 256 << 20;

/** A notice that is to be acted on. */
type Delivery = { readonly notice: PushNotice; readonly webhook: Webhook; readonly credentials: Credentials };

type Credentials = { readonly secret: string; readonly username?: string; readonly password?: string };

export class WebhookReceiver {
  readonly #options: WebhookReceiverOptions;
  /** By repository: hashes of bodies that were taken. */
  readonly #taken = new Map<string, Set<string>>();
  readonly #notices = new Map<string, Notices>();
  readonly #running = new Set<Promise<void>>();
  readonly #turns = new Turns();
  #active = 0;

  constructor(options: WebhookReceiverOptions) {
    this.#options = options;
  }

  /** Throws {@link HttpFault}. */
  async handle(request: IncomingMessage, response: ServerResponse, repository: RepositoryObject): Promise<void> {
    if (this.#active >= mostAtOnce) throw new HttpFault(503, "too many webhooks at once", { "retry-after": "5" });
    this.#active++;
    try {
      const [status, text] = await this.#take(request, repository);
      response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
      response.end(`${text}\n`);
    } catch (error) {
      if (error instanceof HttpFault) this.#options.counter.count(repository, "refused", error.message);
      throw error;
    } finally {
      this.#active--;
    }
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #take(request: IncomingMessage, repository: RepositoryObject): Promise<readonly [number, string]> {
    const { counter } = this.#options;
    const webhook = repository.spec?.webhook ?? {};
    const { provider = "github" } = webhook;
    const body = await readBody(request);
    const credentials = await this.#credentials(repository, webhook);
    const { headers } = request;
    if (!isGenuine(provider, { headers, body, secret: credentials.secret }))
      throw new HttpFault(401, `not signed as ${provider} signs with this repository's secret`);
    const notice = noticeOf(provider, headers, body);
    if (notice === undefined) {
      counter.count(repository, "accepted");
      return [200, "nothing to do"];
    }
    // The body is what is signed: a delivery's number could be made up.
    const hash = createHash("sha256").update(body).digest("base64");
    if (!this.#remember(repository, hash)) {
      counter.count(repository, "repeated");
      return [409, "this was delivered before"];
    }
    await (await this.#noticesOf(repository)).add(notice);
    counter.count(repository, "accepted");
    this.#begin(repository, { notice, webhook, credentials }, () => {
      // What failed may be delivered again.
      this.#taken.get(repository.metadata?.uid ?? "")?.delete(hash);
    });
    return [202, `${notice.branch} is being fetched`];
  }

  /** Goes on with what was taken when the process before this one ended. */
  async resume(repository: RepositoryObject): Promise<void> {
    const { webhook } = repository.spec ?? {};
    const { folder } = this.#options.folders.git(repository.metadata?.uid ?? "");
    const notices = webhook === undefined ? [] : await new Notices(folder).list();
    if (webhook === undefined || notices.length === 0) return;
    const credentials = await this.#credentials(repository, webhook);
    for (const notice of notices) this.#begin(repository, { notice, webhook, credentials }, () => {});
  }

  #begin(repository: RepositoryObject, delivery: Delivery, onFailure: () => void): void {
    const { logger, signal } = this.#options;
    const running = this.#deployInTurn(repository, delivery)
      .catch((error: unknown) => {
        logger.warn("A webhook's push could not be dealt with", { error });
        return false;
      })
      .then(async (isDone) => {
        if (!isDone) onFailure();
        // What ends with this process is for the next one.
        if (!signal.aborted) await (await this.#noticesOf(repository)).remove(delivery.notice);
      })
      .catch((error: unknown) => logger.warn("A webhook's push could not be written down", { error }))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** One for each repository: it writes one after another. */
  async #noticesOf({ metadata, spec }: RepositoryObject): Promise<Notices> {
    const uid = metadata?.uid ?? "";
    const { folder } = await this.#options.folders.ensure(uid, spec?.branch ?? "main");
    const notices = this.#notices.get(uid) ?? new Notices(folder);
    this.#notices.set(uid, notices);
    return notices;
  }

  /** False for what was taken before. */
  #remember({ metadata }: RepositoryObject, hash: string): boolean {
    const uid = metadata?.uid ?? "";
    const taken = this.#taken.get(uid) ?? new Set();
    this.#taken.set(uid, taken);
    if (taken.has(hash)) return false;
    taken.add(hash);
    const [oldest = ""] = taken;
    if (taken.size > remembered) taken.delete(oldest);
    return true;
  }

  async #credentials({ metadata }: RepositoryObject, { secretRef }: Webhook): Promise<Credentials> {
    const ref = {
      resource: { group: "", version: "v1", resource: "secrets" },
      namespace: metadata?.namespace ?? "",
      name: secretRef?.name ?? "",
    };
    const { data = {} } = await this.#options.client.get<Secret>(ref).catch((): Secret => ({}));
    const text = (key: string) => {
      const value = (data as Readonly<Record<string, string>>)[key];
      return value === undefined ? undefined : Buffer.from(value, "base64").toString().trim();
    };
    const [username, password] = [text("username"), text("password")];
    return {
      secret: text(secretRef?.key ?? "token") ?? "",
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    };
  }

  // What a branch was before is what the notice before it made of it.
  async #deployInTurn(repository: RepositoryObject, from: Delivery): Promise<boolean> {
    const end = await this.#turns.take(repository.metadata?.uid ?? "");
    try {
      return await this.#deploy(repository, from);
    } finally {
      end();
    }
  }

  /** As a push of the service account that the Repository names. False when it was not taken. */
  async #deploy(repository: RepositoryObject, from: Delivery): Promise<boolean> {
    const { folders, receiver, logger, signal } = this.#options;
    const { branch, isGone } = from.notice;
    const git = await folders.ensure(repository.metadata?.uid ?? "", repository.spec?.branch ?? "main");
    const ref = `refs/heads/${branch}`;
    const before = (await findCommit(git, branch)) ?? zeros;
    const after = isGone ? zeros : await this.#fetch(repository, git, { ...from, branch });
    if (after === before) return true;
    const change: RefChange = { before, after, ref };
    const name = `${repository.metadata?.namespace}/${repository.metadata?.name}`;
    const push: Push = {
      repository,
      user: serviceAccount(repository, from.webhook),
      changes: [change],
      view: {},
      voice: { say: (text) => logger.debug("Deployed for a webhook", { repository: name, line: text }) },
      signal,
    };
    try {
      if (!(await receiver.receive(push))) return false;
      // Only if it is still what it was: somebody may have pushed.
      await git.run(["update-ref", ...(isGone ? ["-d", ref, before] : [ref, after, before])]);
      return true;
    } finally {
      await receiver.settle(push);
    }
  }

  /** The branch's commit, whose objects are here then; no branch of ours has moved. */
  async #fetch(
    repository: RepositoryObject,
    git: Git,
    {
      branch,
      webhook: { url = "" },
      credentials: { username, password },
    }: { readonly branch: string; readonly webhook: Webhook; readonly credentials: Credentials },
  ): Promise<string> {
    const incoming = `refs/nodeless/incoming/${branch}`;
    const basic = Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64");
    const origin = /^https?:\/\/[^/]+/.exec(url)?.[0];
    const settings: Readonly<Record<string, string>> =
      password === undefined || origin === undefined
        ? {}
        : { [`http.${origin}/.extraHeader`]: `Authorization: Basic ${basic}` };
    try {
      await git.run(
        ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url, `+refs/heads/${branch}:${incoming}`],
        {
          hasNetwork: true,
          timeoutMs: fetchTimeoutMs,
          mostFileBytes: quantityValue(repository.spec?.maxPushSize ?? defaultMostBytes),
          settings,
          signal: this.#options.signal,
        },
      );
    } catch (error) {
      if (error instanceof GitFailed)
        this.#options.counter.count(repository, "refused", `not fetched: ${error.message}`);
      throw error;
    }
    return (await git.run(["rev-parse", "--verify", `${incoming}^{commit}`])).trim();
  }
}

function serviceAccount({ metadata }: RepositoryObject, { serviceAccountName = "default" }: Webhook): DeliveryUser {
  const { namespace = "" } = metadata ?? {};
  return {
    name: `system:serviceaccount:${namespace}:${serviceAccountName}`,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > mostBodyBytes) throw new HttpFault(413, `a webhook has at most ${mostBodyBytes >> 20} MiB`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
