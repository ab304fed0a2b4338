/** What can be wrong with a recording, a model or a call; the message is for people. */
export class StonekeyError extends Error {
  // Written out, as minified classes have other names.
  override name = "StonekeyError";
}

/** Nothing here can decode this kind of file. */
export class UnsupportedFormatError extends StonekeyError {
  override name = "UnsupportedFormatError";
}

/** The file holds no sound. */
export class EmptyAudioError extends StonekeyError {
  override name = "EmptyAudioError";
}

/** The file is of a known kind, but broken. */
export class DamagedAudioError extends StonekeyError {
  override name = "DamagedAudioError";
}

/** The recording is longer than `maxSeconds`. */
export class TooLongError extends StonekeyError {
  override name = "TooLongError";
}

/** The model cannot be read, or is not one of stonekey's. */
export class ModelError extends StonekeyError {
  override name = "ModelError";
}

/** The work was cancelled through its `signal`. */
export class CancelledError extends StonekeyError {
  override name = "CancelledError";

  constructor() {
    super("cancelled");
  }
}

const kinds = {
  UnsupportedFormatError,
  EmptyAudioError,
  DamagedAudioError,
  TooLongError,
  ModelError,
  StonekeyError,
};

/** An error as plain data, which a worker can post. */
export function packError(error: unknown): { name: string; message: string } {
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { name: "Error", message: String(error) };
}

/** The error that `packError` packed. */
export function unpackError({ name, message }: { name: string; message: string }): Error {
  if (name === "CancelledError") return new CancelledError();
  const Kind = kinds[name as keyof typeof kinds];
  return Kind ? new Kind(message) : new Error(message);
}
