/**
 * The certificates of routes: each Secret that an Ingress names is followed, and given to the engine when it is there. Who may not read it yet, or finds no pair in it, serves the host with what the
 * listener has for hosts that nobody knows.
 */
import type { Secret } from "#api/generated/types/core-v1.ts";
import type { Followed } from "#client/followed.ts";
import type { ConfigChange } from "#proxy/config/route-source.ts";
import type { IngressTls } from "#serving/kinds.ts";

export class RouteCertificates {
  readonly #secrets: Followed<Secret>;
  /** Keys of the Secrets that an Ingress names, by its own. */
  readonly #wanted = new Map<string, readonly string[]>();
  /** Of those, the ones that the engine has. */
  readonly #told = new Map<string, readonly string[]>();

  /** `onChange` gets the keys of Ingresses whose certificates have changed. */
  constructor(secrets: Followed<Secret>, onChange: (ingresses: readonly string[]) => void) {
    this.#secrets = secrets;
    secrets.onChange((secret) => {
      onChange([...this.#wanted].filter(([, wanted]) => wanted.includes(secret)).map(([ingress]) => ingress));
    });
  }

  /** How many Ingresses name certificates. */
  get users(): number {
    return this.#wanted.size;
  }

  /** What the engine has to be told of the certificates of this Ingress. */
  changes(ingress: string, tls: readonly IngressTls[]): readonly ConfigChange[] {
    this.#want(ingress, [...new Set(tls.map(({ secretNamespace, secretName }) => `${secretNamespace}/${secretName}`))]);
    const configs = (this.#wanted.get(ingress) ?? []).flatMap((secret) => {
      const pair = pairOf(this.#secrets.find(secret));
      return pair === undefined ? [] : [{ name: `serving/${ingress}/${secret}`, ...pair }];
    });
    const names = configs.map(({ name }) => name);
    const gone = (this.#told.get(ingress) ?? []).filter((name) => !names.includes(name));
    if (names.length === 0) this.#told.delete(ingress);
    else this.#told.set(ingress, names);
    return [
      ...configs.map((config) => ({ set: { kind: "certificate" as const, config } })),
      ...gone.map((name) => ({ remove: { kind: "certificate" as const, name } })),
    ];
  }

  /** Resolves when all that are wanted are known, or it has taken too long. */
  settled(signal: AbortSignal): Promise<void> {
    return this.#secrets.settled(signal);
  }

  stop(): void {
    this.#secrets.want(new Set());
  }

  #want(ingress: string, secrets: readonly string[]): void {
    const before = this.#wanted.get(ingress) ?? [];
    if (before.join() === secrets.join()) return;
    if (secrets.length === 0) this.#wanted.delete(ingress);
    else this.#wanted.set(ingress, secrets);
    this.#secrets.want(new Set([...this.#wanted.values()].flat()));
  }
}

function pairOf(secret: Secret | undefined): { readonly certificate: string; readonly privateKey: string } | undefined {
  const [certificate, privateKey] = [secret?.data?.["tls.crt"], secret?.data?.["tls.key"]];
  if (certificate === undefined || privateKey === undefined) return undefined;
  const text = (base64: string) => Buffer.from(base64, "base64").toString("utf8");
  return { certificate: text(certificate), privateKey: text(privateKey) };
}
