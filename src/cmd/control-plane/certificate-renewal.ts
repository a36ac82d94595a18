/**
 * Renews certificates while the cluster runs, long before they expire: looks again a few times a day, and tells those who show them. Nodes see for themselves that their files
 * have changed.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ServingCertificate } from "#apiserver/server/https-server.ts";
import type { ClusterKeys } from "./cluster-keys.ts";

/** How to look, and whom to tell. */
export type CertificateRenewalOptions = {
  readonly keys: ClusterKeys;
  /** Makes what is expiring or gone, and gives all as it is then. */
  readonly ensure: (known: ClusterKeys) => Promise<ClusterKeys>;
  /** The administrator's certificate is another. */
  readonly onAdmin: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Certificates are renewed 60 days before their end; this also is how soon new addresses of an exposed machine are in the API server's. */
export const lookAgainMs: number = 6 * 3_600_000;

/** Looks from `start` to `stop`. */
export class CertificateRenewal {
  readonly #options: CertificateRenewalOptions;
  #keys: ClusterKeys;
  #timer: Timer | undefined;
  #onServer: (serving: ServingCertificate) => void = () => {};

  constructor(options: CertificateRenewalOptions) {
    this.#options = options;
    this.#keys = options.keys;
  }

  /** The keys as they are now. */
  get keys(): ClusterKeys {
    return this.#keys;
  }

  /** `onServer` hears of another certificate for the API server to show. */
  start(onServer: (serving: ServingCertificate) => void): void {
    this.#onServer = onServer;
    this.#wait();
  }

  async stop(): Promise<void> {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  #wait(): void {
    this.#timer = this.#options.clock.setTimer(lookAgainMs, () => void this.#look()); // never rejects
  }

  async #look(): Promise<void> {
    const { ensure, onAdmin, logger } = this.#options;
    try {
      const before = this.#keys;
      this.#keys = await ensure(before);
      const { pki, admin } = this.#keys;
      const { certificate, privateKey: key } = pki.server;
      if (certificate !== before.pki.server.certificate) this.#onServer({ certificate, key });
      if (admin.certificate !== before.admin.certificate) onAdmin();
    } catch (error) {
      logger.error("Renewed no certificates", { error });
    }
    if (this.#timer) this.#wait();
  }
}
