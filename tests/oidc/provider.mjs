// A real provider of OpenID Connect on loopback, for the console's tests: panva's certified
// oidc-provider with its own pages, where any password is right.
//
//   node provider.mjs FOLDER SETTINGS
//
// FOLDER has node_modules. SETTINGS is JSON: host (of the issuer), back (the console's address to
// come back to), alg (of ID tokens), in_token (whether they hold all claims, or userinfo has them).
// The first line of its output is the issuer. It ends with its standard input.
//
// POST /test/rotate: it signs with other keys from now on. POST /test/plant: the body stands in the
// place of the ID token in the next answer to a code.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// Not every Node 20 has it.
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);

const [folder, settings] = process.argv.slice(2);
const { host, back, alg, in_token: inToken } = JSON.parse(settings);
const installed = createRequire(`${folder}/here.js`);
const { Provider } = await import(pathToFileURL(installed.resolve('oidc-provider')));

const GROUPS = {
  anna: ['staff', 'bridge-viewer'],
  boris: ['staff', 'bridge-operator'],
  olga: ['bridge-viewer', 'bridge-owner'],
  eve: ['staff'],
  nameless: ['bridge-owner'],
};

const key = (kind, options) => {
  const made = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
  return { ...made, kid: randomUUID(), use: 'sig' };
};
const keys = () => [key('rsa', { modulusLength: 2048 }), key('ec', { namedCurve: 'P-256' })];

const client = (id, uri) => ({
  client_id: id,
  client_secret: `${id} planted-client-secret+%`,
  redirect_uris: [uri],
  id_token_signed_response_alg: alg,
});

let planted;
const cookieKeys = [randomUUID()];
const made = (issuer) => {
  const provider = new Provider(issuer, {
    clients: [client('console', back), client('other', 'http://127.0.0.1:9/back')],
    claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
    conformIdTokenClaims: !inToken,
    cookies: { keys: cookieKeys },
    jwks: { keys: keys() },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        groups: GROUPS[id] ?? [],
        ...(id === 'nameless' ? {} : { preferred_username: id }),
      }),
    }),
  });
  provider.use(async (ctx, next) => {
    await next();
    if (planted && ctx.body?.id_token) {
      ctx.body = { ...ctx.body, id_token: planted };
      planted = undefined;
    }
  });
  return provider.callback();
};

let answer;
let issuer;
const server = createServer((request, response) => {
  if (request.url === '/test/rotate') {
    answer = made(issuer);
    response.end();
  } else if (request.url === '/test/plant') {
    planted = '';
    request.on('data', (part) => { planted += part; });
    request.on('end', () => response.end());
  } else {
    answer(request, response);
  }
});
server.listen(0, '127.0.0.1', () => {
  issuer = `http://${host}:${server.address().port}`;
  answer = made(issuer);
  console.log(issuer);
});
process.stdin.resume().on('end', () => process.exit());
