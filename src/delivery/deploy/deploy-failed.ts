/**
 * Why a commit is not deployed, in words for whoever pushed it.
 */
export class DeployFailed extends Error {
  readonly kind = "DeployFailed";
  /** Nothing of it was written: there is nothing to go back from. */
  readonly isEarly: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isEarly?: boolean } = {}) {
    super(message, options);
    this.isEarly = options.isEarly ?? false;
  }
}
