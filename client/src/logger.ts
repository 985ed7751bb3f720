/** Where the client tells what it does; `console` fits. It never gets a ticket or a token. */
export interface Logger {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

const nothing = () => {};

/** The default: says nothing, except that a mistake in the caller's own code must not vanish. */
export const quietLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  // biome-ignore lint/suspicious/noConsole: the one place, for errors that nobody asked to see
  error: (message, fields) => console.error(message, fields),
};
