/**
 * Why a commit is not deployed, in words for whoever pushed it.
 */
export class DeployFailed extends Error {
  readonly kind = "DeployFailed";
}
