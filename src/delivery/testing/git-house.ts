/**
 * A Git server on loopback with a repository in it, and a clone to push from: real Git and real HTTP, for tests that say themselves what a deployment comes to.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Clock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Deployment } from "#delivery/deploy/deployment.ts";
import { RepositoryFolders } from "#delivery/git/bare-repository.ts";
import { openCage } from "#delivery/git/git-cage.ts";
import type { RepositoryObject } from "#delivery/kinds.ts";
import { Pushes } from "#delivery/push/pushes.ts";
import { GitServer } from "#delivery/server/git-server.ts";
import { HttpFault } from "#delivery/server/http-fault.ts";
import { WebhookCounter } from "#delivery/webhooks/webhook-counter.ts";
import { WebhookReceiver } from "#delivery/webhooks/webhook-receiver.ts";

/** What Git said, and whether it was content. */
export type GitAnswer = { readonly text: string; readonly isDone: boolean };

/** False where there is no Git: tests say so and are skipped. */
export function hasGit(): boolean {
  try {
    return execFileSync("git", ["--version"]).length > 0;
  } catch {
    return false;
  }
}

const identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "init.defaultBranch=main"];

export class GitHouse {
  readonly work: string = mkdtempSync(join(tmpdir(), "nl-delivery-"));
  readonly folders: RepositoryFolders = new RepositoryFolders(join(this.work, "repositories"), openCage);
  /** "main@COMMIT", and "-main" for what was taken away. */
  readonly deployed: string[] = [];
  receivedCount = 0;
  /** What pushes said, as it is kept. */
  readonly logs: string[] = [];
  /** Reasons of those that were recorded. */
  readonly events: string[] = [];
  /** What a deployment does; may throw. */
  onDeploy: (deployment: Deployment) => Promise<void> = async () => {};
  repository: RepositoryObject = {
    apiVersion: "nodeless.dev/v1alpha1",
    kind: "Repository",
    metadata: { name: "site", namespace: "default", uid: "u1" },
    spec: {},
  };
  /** Somebody else's, at /default/outside.git: nothing of it is deployed. */
  readonly outside: RepositoryObject = {
    apiVersion: "nodeless.dev/v1alpha1",
    kind: "Repository",
    metadata: { name: "outside", namespace: "default", uid: "u2" },
    spec: { branch: "none", previews: { branches: [] } },
  };
  /** Keys of the Secret that a webhook names. */
  secret: Readonly<Record<string, string>> = {};
  readonly counter: WebhookCounter;
  readonly webhooks: WebhookReceiver;
  readonly pushes: Pushes;
  readonly #server: GitServer;
  readonly #http;

  constructor(clock: Clock = systemClock) {
    const deployer = {
      deploy: async (_git: unknown, deployment: Deployment) => {
        await this.onDeploy(deployment);
        this.deployed.push(`${deployment.branch}@${deployment.commit.slice(0, 7)}`);
        return [`http://${deployment.branch}.test`];
      },
      remove: async (_client: unknown, { branch }: { readonly branch: string }) => {
        this.deployed.push(`-${branch}`);
      },
    };
    this.pushes = new Pushes({
      folders: this.folders,
      deployer,
      client: {
        patch: async (_ref: unknown, { body }: { readonly body: { readonly data: { readonly log: string } } }) =>
          this.logs.push(body.data.log),
      } as never,
      clientAs: ({ name }) => ({ of: name }) as never,
      onChange: () => {},
      events: { record: (_about, { reason }) => this.events.push(reason) },
      clock,
      logger: silentLogger,
    });
    this.counter = new WebhookCounter(clock, () => {});
    const encoded = () =>
      Object.fromEntries(Object.entries(this.secret).map(([key, text]) => [key, Buffer.from(text).toString("base64")]));
    this.webhooks = new WebhookReceiver({
      client: { get: async () => ({ data: encoded() }) } as never,
      folders: this.folders,
      receiver: this.pushes,
      counter: this.counter,
      logger: silentLogger,
      signal: new AbortController().signal,
    });
    this.#server = new GitServer({
      access: {
        identify: async ({ headers }) => {
          if (headers.authorization === undefined)
            throw new HttpFault(401, "who?", { "www-authenticate": "Basic realm=x" });
          return { name: "somebody", groups: [] };
        },
        check: async () => {},
      },
      folders: this.folders,
      find: (_namespace, name) => ({ site: this.repository, outside: this.outside })[name],
      receiver: {
        receive: (push) => {
          this.receivedCount++;
          return this.pushes.receive(push);
        },
        settle: (push) => this.pushes.settle(push),
      },
      onWebhook: (request, response, repository) => this.webhooks.handle(request, response, repository),
      logger: silentLogger,
    });
    this.#http = createServer((request, response) => void this.#server.handle(request, response));
  }

  /** "http://127.0.0.1:PORT". */
  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    this.#http.listen(0, "127.0.0.1");
    await once(this.#http, "listening");
    await this.folders.ensure("u1", "main");
    await this.folders.ensure("u2", "none");
    await this.git("init", "--quiet", this.clone);
  }

  async stop(): Promise<void> {
    this.pushes.stop();
    await this.#server.stop();
    this.#http.closeAllConnections();
    this.#http.close();
    rmSync(this.work, { recursive: true, force: true });
  }

  get clone(): string {
    return join(this.work, "clone");
  }

  /** Commits files; gives the commit. */
  async commit(files: Readonly<Record<string, string>>): Promise<string> {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.clone, path)), { recursive: true });
      writeFileSync(join(this.clone, path), text);
    }
    await this.git("add", "-A");
    await this.git("commit", "--quiet", "--allow-empty", "-m", "something");
    return (await this.git("rev-parse", "HEAD")).text.trim();
  }

  push(...refs: readonly string[]): Promise<GitAnswer> {
    return this.pushTo("site", ...refs);
  }

  pushTo(repository: "site" | "outside", ...refs: readonly string[]): Promise<GitAnswer> {
    return this.git("push", `${this.url.replace("//", "//x:token@")}/default/${repository}.git`, ...refs);
  }

  /** Writes an object as it is, wrong or not; gives its name. */
  async writeObject(type: string, bytes: Buffer): Promise<string> {
    const file = join(this.work, "object");
    writeFileSync(file, bytes);
    return (await this.git("hash-object", "-w", "--literally", "-t", type, file)).text.trim();
  }

  git(...args: readonly string[]): Promise<GitAnswer> {
    const isFirst = args[0] === "init";
    return new Promise((resolve) => {
      execFile("git", [...identity, ...args], this.#options(isFirst), (error, stdout, stderr) =>
        resolve({ text: `${stdout}${stderr}`, isDone: error === null }),
      );
    });
  }

  /** Starts a push; gives what kills it, with all that it has started, as Ctrl-C does. */
  startPush(...refs: readonly string[]): () => void {
    const url = `${this.url.replace("//", "//x:token@")}/default/site.git`;
    const child = spawn("git", ["push", url, ...refs], { ...this.#options(false), detached: true, stdio: "ignore" });
    return () => process.kill(-(child.pid ?? 0), "SIGKILL");
  }

  #options(isFirst: boolean): { readonly cwd: string; readonly env: NodeJS.ProcessEnv } {
    const env = { PATH: process.env["PATH"], HOME: this.work, GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" };
    return { cwd: isFirst ? this.work : this.clone, env };
  }
}

/** For {@link GitHouse.onDeploy}. */
export async function failToDeploy(): Promise<never> {
  throw new DeployFailed("it does not build");
}
