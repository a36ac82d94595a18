/**
 * Hears of certificates that the control plane renews in the files of a node.
 */
import { watch } from "node:fs";
import { findKeyPair } from "#component-base/certificates.ts";
import type { Logger } from "#component-base/logger.ts";

/** Which key pair, and who wants to know. */
export type RenewedPairOptions = {
  readonly folder: string;
  /** Its files are NAME.crt and NAME.key. */
  readonly name: string;
  readonly onRenewed: (pair: { readonly certificate: string; readonly key: string }) => void;
  readonly logger: Logger;
};

/** Watches the files until the signal aborts. */
export function watchKeyPair({ folder, name, onRenewed, logger }: RenewedPairOptions, signal: AbortSignal): void {
  const watcher = watch(folder, { persistent: false, signal }, (_event, file) => {
    // The certificate is written last.
    if (file === `${name}.crt`)
      void take().catch((error: unknown) => logger.error("Read no renewed certificate", { name, error }));
  });
  watcher.on("error", (error) => logger.error("Watched no certificates", { folder, error }));
  const take = async () => {
    const pair = await findKeyPair(folder, name);
    if (pair) onRenewed({ certificate: pair.certificate, key: pair.privateKey });
  };
}
