// A real OpenID provider for tests: code + PKCE, device flow, JWT access tokens for workloads. Accounts sign in by typing their name.
// Keys are new at each start. Says `up <issuer>` once it listens. Environment: OP_PORT, OP_REDIRECT (of the client `jurat`), OP_CLIENT_JWKS (public keys of `jurat-keyed`).
import { Provider } from 'oidc-provider';
import { generateKeyPairSync, randomBytes } from 'node:crypto';

const port = Number(process.env.OP_PORT), issuer = `http://127.0.0.1:${port}`, on = { enabled: true };
const make = (kid) => ({ ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' });
const account = (id) => ({ accountId: id, claims: async () => ({ sub: id, email: `${id}@example.org`, email_verified: true }) });
const api = (audience) => ({ audience, scope: 'read', accessTokenFormat: 'jwt', accessTokenTTL: 120, jwt: { sign: { alg: 'ES256' } } });

const provider = new Provider(issuer, {
  jwks: { keys: [make('k1')] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  clients: [
    { client_id: 'jurat', client_secret: 'for-tests-only', redirect_uris: [process.env.OP_REDIRECT], id_token_signed_response_alg: 'ES256',
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'], response_types: ['code'] },
    { client_id: 'ci', client_secret: 'for-tests-only', redirect_uris: [], response_types: [], grant_types: ['client_credentials'],
      id_token_signed_response_alg: 'ES256' },
    ...(process.env.OP_CLIENT_JWKS ? [{ client_id: 'jurat-keyed', token_endpoint_auth_method: 'private_key_jwt', redirect_uris: [process.env.OP_REDIRECT],
      jwks: JSON.parse(process.env.OP_CLIENT_JWKS), id_token_signed_response_alg: 'ES256', grant_types: ['authorization_code'], response_types: ['code'] }] : []),
  ],
  pkce: { required: () => true },
  findAccount: (_ctx, id) => account(id),
  extraTokenClaims: (_ctx, token) => (token.kind === 'ClientCredentials' ? { repository: 'our/credit', environment: 'production' } : {}),
  features: {
    devInteractions: on, clientCredentials: on, dPoP: on,
    deviceFlow: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: (ctx) => ctx.oidc.params.resource ?? [], getResourceServerInfo: (_ctx, r) => api(r), useGrantedResource: () => true },
  },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  ttl: { AccessToken: 120, IdToken: 120, DeviceCode: 120, Session: 600, Grant: 600, Interaction: 120 },
});
provider.listen(port, '127.0.0.1', () => console.log(`up ${issuer}`));
