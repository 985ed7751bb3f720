const hidden = '[redacted]';

/** Names whose values are never logged, as query parameters and as properties. */
const secretParameters = ['ticket', 'token', 'access_token'];

const names =
  'ticket|token|access_?token|authorization|proxy-authorization|cookie|set-cookie|api_?key|x-api-key|secret|password';
const secretProperty = new RegExp(`"(${names})":(?:"(?:[^"\\\\]|\\\\.)*"|\\[[^\\]]*\\])`, 'gi');
/** The same in JSON that stands, escaped, in a text. */
const escapedProperty = new RegExp(`\\\\"(${names})\\\\":\\s?\\\\"[^"]*"`, 'gi');
const secretParameter = /([?&](?:ticket|token|access_token)=)[^&\s"'#\\]+/gi;
const ticket = /\but1_[\w-]+/g;
// At least one character that no word has, so that "bearer token" in a message stays readable.
const bearer = /\b(Bearer\s+)(?=[^\s"'\\,]*[\d._~+/=-])[^\s"'\\,]{6,}/gi;
// One start a run: `\b` would start anew at each hyphen, and a line of hyphens cost its length squared.
const jwt = /(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*/g;
const userInfo = /(\w:\/\/)[^\s/?#"'@]*@/g;

/** Takes out of a log line, or of any text, whatever could be presented by somebody who reads it. */
export function redactLine(line: string): string {
  return line
    .replace(secretProperty, (_, name: string) => `"${name}":"${hidden}"`)
    .replace(escapedProperty, (_, name: string) => `\\"${name}\\":\\"${hidden}\\"`)
    .replace(secretParameter, `$1${hidden}`)
    .replace(userInfo, `$1${hidden}@`)
    .replace(bearer, `$1${hidden}`)
    .replace(ticket, hidden)
    .replace(jwt, hidden);
}

/**
 * A request's url without the ticket, a token, and user and password; whole or from the path on.
 * The names are compared decoded, as the server reads them: `%74icket` is a ticket too.
 */
export function redactUrl(url: string | URL): string {
  const text = String(url);
  const query = text.indexOf('?');
  const head = (query < 0 ? text : text.slice(0, query)).replace(userInfo, `$1${hidden}@`);
  if (query < 0) return head;
  const parameters = text.slice(query + 1).split('&');
  return `${head}?${parameters.map(redactParameter).join('&')}`;
}

function redactParameter(parameter: string): string {
  const [name] = new URLSearchParams(parameter).keys();
  if (name === undefined || !secretParameters.includes(name.toLowerCase())) return redactLine(parameter);
  return `${name}=${hidden}`;
}
