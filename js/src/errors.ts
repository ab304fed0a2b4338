/** What can be wrong with a recording, a model or a call; the message is for people. */
export class StonekeyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** Nothing here can decode this kind of file. */
export class UnsupportedFormatError extends StonekeyError {}

/** The file holds no sound. */
export class EmptyAudioError extends StonekeyError {}

/** The file is of a known kind, but broken. */
export class DamagedAudioError extends StonekeyError {}

/** The recording is longer than `maxSeconds`. */
export class TooLongError extends StonekeyError {}

/** The model cannot be read, or is not one of stonekey's. */
export class ModelError extends StonekeyError {}

/** The work was cancelled through its `signal`. */
export class CancelledError extends StonekeyError {
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
