// `riskgate config --json | deploy/variables` writes this file. Change crates/config and run it; do not edit these lines.

import { Duration } from 'aws-cdk-lib';
import { SecretSource } from './secret';

/** Every variable of riskgate as a prop. docs/CONFIGURATION.md describes them in groups. */
export interface RiskgateVariables {
  /**
   * `RISKGATE_MODE`: enforce, or monitor: decide and record, without denying or challenging.
   * @default monitor
   */
  readonly mode?: 'monitor' | 'enforce';
  /**
   * `RISKGATE_DENY_AT`: deny from this score, 0 to 100 (80: about 6 legitimate sign-ins in 10,000).
   * @default 80
   */
  readonly denyAt?: number;
  /**
   * `RISKGATE_REVIEW_AT`: flag from this score, 0 to 100 (50: one legitimate sign-in in 100).
   * @default 50
   */
  readonly reviewAt?: number;
  /**
   * `RISKGATE_CHALLENGE_AT`: challenge from this score, REVIEW_AT to DENY_AT; unset or off: no challenges.
   */
  readonly challengeAt?: number | 'off';
  /**
   * `RISKGATE_CHALLENGE_ACR_VALUES`: authentication levels that answer a challenge, highest first, by the user pool's own names; a
   * user with no factor of these levels stays restricted.
   * @default urn:cognito:loa:4,urn:cognito:loa:3
   */
  readonly challengeAcrValues?: readonly string[];
  /**
   * `RISKGATE_FALLBACK`: when no risk service answers, or the block list is over a day old: local (own score, stricter), allow (lists
   * and own score still deny and challenge) or deny.
   * @default local
   */
  readonly fallback?: 'local' | 'allow' | 'deny';
  /**
   * `RISKGATE_DEGRADED_DENY_AT`: under fallback local, deny from this score; midway between DENY_AT and the threshold below it when
   * unset.
   */
  readonly degradedDenyAt?: number;
  /**
   * `RISKGATE_NO_IP`: a sign-in without a public address: score it on what is known, allow it or deny it.
   * @default score
   */
  readonly noIp?: 'score' | 'allow' | 'deny';
  /**
   * `RISKGATE_DENY_MESSAGE`: the sentence that a denied user sees; the id follows it, so it has no final full stop.
   * @default Sign-in was declined for security reasons. Contact support and quote
   */
  readonly denyMessage?: string;
  /**
   * `RISKGATE_ALLOW_CIDRS`: networks whose trusted addresses are always allowed.
   */
  readonly allowCidrs?: readonly string[];
  /**
   * `RISKGATE_DENY_CIDRS`: networks that are always denied, trusted address or not.
   */
  readonly denyCidrs?: readonly string[];
  /**
   * `RISKGATE_DENY_CLIENTS`: app client ids that are always denied, tokens for machines included.
   */
  readonly denyClients?: readonly string[];
  /**
   * `RISKGATE_DENY_COUNTRIES`: countries that are denied, ISO 3166-1 alpha-2, trusted address or not; none for no country.
   */
  readonly denyCountries?: readonly string[];
  /**
   * `RISKGATE_DENY_ASNS`: AS numbers that are denied, trusted address or not; none for no network.
   */
  readonly denyAsns?: readonly string[];
  /**
   * `RISKGATE_ALLOW_ASNS`: AS numbers whose trusted addresses are always allowed, unless a DENY list other than DENY_COUNTRIES
   * contains them.
   */
  readonly allowAsns?: readonly string[];
  /**
   * `RISKGATE_POOLS`: user pool ids that are served, all when empty; events of other pools are returned unchanged.
   */
  readonly pools?: readonly string[];
  /**
   * `RISKGATE_TENANT_ATTRIBUTE`: user attribute that names the tenant, such as custom:tenant.
   */
  readonly tenantAttribute?: string;
  /**
   * `RISKGATE_BUDGET`: longest time to an answer, under 3 s.
   * @default 2500ms
   */
  readonly budget?: Duration | string;
  /**
   * `RISKGATE_PROVIDER_TIMEOUT`: longest wait for one risk service.
   * @default 1200ms
   */
  readonly providerTimeout?: Duration | string;
  /**
   * `RISKGATE_CONNECT_TIMEOUT`: longest wait for DNS, TCP and TLS together.
   * @default 400ms
   */
  readonly connectTimeout?: Duration | string;
  /**
   * `RISKGATE_STORE_TIMEOUT`: longest wait for the history store.
   * @default 300ms
   */
  readonly storeTimeout?: Duration | string;
  /**
   * `RISKGATE_PROVIDERS`: risk services to query: minfraud, ipqs, abuseipdb, crowdsec, crowdsec_cti, http; none when unset.
   */
  readonly providers?: readonly string[];
  /**
   * `RISKGATE_MINFRAUD_URL`: minFraud's origin.
   * @default https://minfraud.maxmind.com
   */
  readonly minfraudUrl?: string;
  /**
   * `RISKGATE_MINFRAUD_ACCOUNT_ID`: MaxMind account id.
   */
  readonly minfraudAccountId?: string;
  /**
   * `RISKGATE_MINFRAUD_LICENSE_KEY`: MaxMind licence key.
   */
  readonly minfraudLicenseKey?: SecretSource;
  /**
   * `RISKGATE_MINFRAUD_SERVICE`: score or insights.
   * @default score
   */
  readonly minfraudService?: 'score' | 'insights';
  /**
   * `RISKGATE_IPQS_URL`: IPQualityScore's origin.
   * @default https://www.ipqualityscore.com
   */
  readonly ipqsUrl?: string;
  /**
   * `RISKGATE_IPQS_KEY`: IPQualityScore key.
   */
  readonly ipqsKey?: SecretSource;
  /**
   * `RISKGATE_ABUSEIPDB_URL`: AbuseIPDB's origin.
   * @default https://api.abuseipdb.com
   */
  readonly abuseipdbUrl?: string;
  /**
   * `RISKGATE_ABUSEIPDB_KEY`: AbuseIPDB key.
   */
  readonly abuseipdbKey?: SecretSource;
  /**
   * `RISKGATE_CROWDSEC_URL`: the CrowdSec Local API's origin.
   * @default http://127.0.0.1:8080
   */
  readonly crowdsecUrl?: string;
  /**
   * `RISKGATE_CROWDSEC_KEY`: CrowdSec bouncer key.
   */
  readonly crowdsecKey?: SecretSource;
  /**
   * `RISKGATE_CROWDSEC_CTI_URL`: CrowdSec CTI's origin.
   * @default https://cti.api.crowdsec.net
   */
  readonly crowdsecCtiUrl?: string;
  /**
   * `RISKGATE_CROWDSEC_CTI_KEY`: CrowdSec CTI key.
   */
  readonly crowdsecCtiKey?: SecretSource;
  /**
   * `RISKGATE_HTTP_URL`: complete URL of your own service; placeholders {ip} {userAgent} {deviceId} {hour} are percent-encoded.
   */
  readonly httpUrl?: string;
  /**
   * `RISKGATE_HTTP_METHOD`: POST or GET.
   * @default POST
   */
  readonly httpMethod?: 'POST' | 'GET';
  /**
   * `RISKGATE_HTTP_HEADERS`: headers for it, one `Name: value` per line.
   */
  readonly httpHeaders?: SecretSource;
  /**
   * `RISKGATE_HTTP_BODY`: body template; placeholders are JSON-encoded.
   * @default {"ip":{ip},"userAgent":{userAgent},"deviceId":{deviceId},"hour":{hour}}
   */
  readonly httpBody?: string;
  /**
   * `RISKGATE_HTTP_SCORE_POINTER`: JSON pointer to the score in its answer.
   * @default /score
   */
  readonly httpScorePointer?: string;
  /**
   * `RISKGATE_HTTP_SCORE_SCALE`: the score that means certain fraud; a score above it or below 0 is bad_answer.
   * @default 100
   */
  readonly httpScoreScale?: number;
  /**
   * `RISKGATE_HTTP_REASONS_POINTER`: JSON pointer to an array of reason strings, shown in the audit line.
   */
  readonly httpReasonsPointer?: string;
  /**
   * `RISKGATE_ALLOW_PLAIN_HTTP`: origins that may be queried over plain http; loopback always may.
   */
  readonly allowPlainHttp?: readonly string[];
  /**
   * `RISKGATE_SERVICES_CA`: PEM certificates of authorities that are trusted in addition to Mozilla's, for services with a private
   * one.
   */
  readonly servicesCa?: string;
  /**
   * `RISKGATE_CACHE_CAPACITY`: answers cached in memory for each service.
   * @default 20000
   */
  readonly cacheCapacity?: number;
  /**
   * `RISKGATE_CACHE_TTL`: how long an answer is fresh.
   * @default 1h
   */
  readonly cacheTtl?: Duration | string;
  /**
   * `RISKGATE_CACHE_STALE_FOR`: how much longer it is served when the service fails.
   * @default 24h
   */
  readonly cacheStaleFor?: Duration | string;
  /**
   * `RISKGATE_CACHE_NEGATIVE_TTL`: how long `nothing known` is cached.
   * @default 10m
   */
  readonly cacheNegativeTtl?: Duration | string;
  /**
   * `RISKGATE_STORE`: memory, redis://HOST:PORT/DB, rediss://.., redis+unix:///PATH?db=DB or dynamodb://TABLE.
   * @default memory
   */
  readonly store?: string;
  /**
   * `RISKGATE_HISTORY_TTL`: how long a value stays in a user's history.
   * @default 180d
   */
  readonly historyTtl?: Duration | string;
  /**
   * `RISKGATE_ACTIVITY_TTL`: how long decisions stay in a shared store for riskgate dashboard --store; off: none are stored.
   * @default 30d
   */
  readonly activityTtl?: Duration | string;
  /**
   * `RISKGATE_PENDING_TTL`: how long an attempt waits for its post-authentication.
   * @default 15m
   */
  readonly pendingTtl?: Duration | string;
  /**
   * `RISKGATE_LEARN`: post_auth, or allow: learn from every allowed sign-in, for pools without the second trigger.
   * @default post_auth
   */
  readonly learn?: 'post_auth' | 'allow';
  /**
   * `RISKGATE_PSEUDONYM_KEY`: kid:base64url key for pseudonyms, newest first; required unless the store is memory.
   */
  readonly pseudonymKey?: SecretSource;
  /**
   * `RISKGATE_MODEL`: directory written by `riskgate replay --learn`; the bundled tables when unset.
   */
  readonly model?: string;
  /**
   * `RISKGATE_CALIBRATION`: scale of the scores: propose (only shows what the pool's own successes would give), auto (follows them by
   * a bounded step a day; experimental) or shipped.
   * @default propose
   */
  readonly calibration?: 'propose' | 'auto' | 'shipped';
  /**
   * `RISKGATE_MIXTURE`: attackers to expect: balanced or targeted.
   * @default balanced
   */
  readonly mixture?: 'balanced' | 'targeted';
  /**
   * `RISKGATE_PRIOR`: share of sign-ins that are attacks, 0.000001 to 0.5.
   * @default 0.005
   */
  readonly prior?: number;
  /**
   * `RISKGATE_CLAIM_PREFIX`: what the claims' names start with.
   * @default riskgate:
   */
  readonly claimPrefix?: string;
  /**
   * `RISKGATE_WITHHOLD_GROUPS`: groups withheld from tokens while a sign-in is under review, was challenged without a pass or was
   * allowed degraded.
   */
  readonly withholdGroups?: readonly string[];
  /**
   * `RISKGATE_WITHHOLD_SCOPES`: scopes withheld in the same cases.
   */
  readonly withholdScopes?: readonly string[];
  /**
   * `RISKGATE_REVIEW_HOLD`: how long they are withheld.
   * @default 24h
   */
  readonly reviewHold?: Duration | string;
  /**
   * `RISKGATE_CHALLENGE_HOLD`: how long they are withheld after a challenged sign-in without a pass; at least the lifetime of a
   * refresh token.
   * @default 30d
   */
  readonly challengeHold?: Duration | string;
  /**
   * `RISKGATE_CHALLENGE_FROM`: sender of codes, by e-mail through SES, such as Example <security@example.com>; a user without a
   * verified address gets none and is denied.
   */
  readonly challengeFrom?: string;
  /**
   * `RISKGATE_CHALLENGE_SES_REGION`: region of the SES identity; that of the process when unset.
   */
  readonly challengeSesRegion?: string;
  /**
   * `RISKGATE_CHALLENGE_WEBHOOK`: URL of your own service that delivers codes in place of SES.
   */
  readonly challengeWebhook?: string;
  /**
   * `RISKGATE_CHALLENGE_WEBHOOK_SECRET`: key of the HMAC signature of its requests, at least 32 characters.
   */
  readonly challengeWebhookSecret?: SecretSource;
  /**
   * `RISKGATE_CHALLENGE_TEMPLATES`: directory with texts of your own, LOCALE.txt and LOCALE.html; they replace the built-in ones.
   */
  readonly challengeTemplates?: string;
  /**
   * `RISKGATE_CHALLENGE_CODE_TTL`: how long a code is valid, 1m to 15m; set AuthSessionValidity of the app client to no less.
   * @default 3m
   */
  readonly challengeCodeTtl?: Duration | string;
  /**
   * `RISKGATE_CHALLENGE_CODES`: codes an hour for a user from networks that are new to that user, and again as many from known
   * networks.
   * @default 5
   */
  readonly challengeCodes?: number;
  /**
   * `RISKGATE_CHALLENGE_NETWORK_CODES`: codes an hour for a network, over all users to whom it is new.
   * @default 20
   */
  readonly challengeNetworkCodes?: number;
  /**
   * `RISKGATE_CHALLENGE_FALLBACK`: when a code cannot be delivered: deny, or allow: the password suffices, the tokens stay restricted.
   * @default deny
   */
  readonly challengeFallback?: 'deny' | 'allow';
  /**
   * `RISKGATE_SESSION_QUEUE`: URL of the SQS queue with sign-ins whose session is looked up (experimental); no look-up when unset.
   */
  readonly sessionQueue?: string;
  /**
   * `RISKGATE_SESSION_SOURCE`: where the address is looked up: sessions (Essentials or Plus, with session tracking) or auth_events
   * (Plus).
   * @default sessions
   */
  readonly sessionSource?: 'sessions' | 'auth_events';
  /**
   * `RISKGATE_SESSION_ON_DENY`: a session whose verified score is at least DENY_AT: report, or revoke it as well.
   * @default report
   */
  readonly sessionOnDeny?: 'report' | 'revoke';
  /**
   * `RISKGATE_SESSION_RECHECK`: how often a session is looked up again when its tokens are refreshed.
   * @default 24h
   */
  readonly sessionRecheck?: Duration | string;
  /**
   * `RISKGATE_SESSION_CALLS`: look-ups in a second for a pool, over all processes; low-risk sign-ins beyond four fifths of it are
   * skipped.
   * @default 5
   */
  readonly sessionCalls?: number;
  /**
   * `RISKGATE_SESSION_DELAY`: time from a sign-in to its first look-up, at most 15m.
   * @default 10s
   */
  readonly sessionDelay?: Duration | string;
  /**
   * `RISKGATE_STEP_UP_POOLS`: user pools whose tokens POST /v1/step-up and the authorizer accept: pool ids or issuer URLs; off when
   * unset.
   */
  readonly stepUpPools?: readonly string[];
  /**
   * `RISKGATE_STEP_UP_CLIENTS`: app client ids whose tokens they accept; needed with STEP_UP_POOLS.
   */
  readonly stepUpClients?: readonly string[];
  /**
   * `RISKGATE_AUTHORIZER_RESPONSE`: response for HTTP APIs with payload 2.0: simple, or iam; it must match EnableSimpleResponses.
   * @default simple
   */
  readonly authorizerResponse?: 'simple' | 'iam';
  /**
   * `RISKGATE_CONTEXT_KEYS`: kid:alg:base64url keys of signed contexts, several; alg HS256, ES256 or EdDSA.
   */
  readonly contextKeys?: SecretSource;
  /**
   * `RISKGATE_CONTEXT_MAX_AGE`: oldest signed context that is accepted.
   * @default 5m
   */
  readonly contextMaxAge?: Duration | string;
  /**
   * `RISKGATE_TRUSTED_CLIENTS`: app client ids whose context is trusted without a signature (confidential clients only).
   */
  readonly trustedClients?: readonly string[];
  /**
   * `RISKGATE_UNTRUSTED_CONTEXT`: unsigned claims: score them upwards only, or ignore them.
   * @default score
   */
  readonly untrustedContext?: 'score' | 'ignore';
  /**
   * `RISKGATE_CITY_DB`: your own City mmdb.
   */
  readonly cityDb?: string;
  /**
   * `RISKGATE_ASN_DB`: your own ASN mmdb.
   */
  readonly asnDb?: string;
  /**
   * `RISKGATE_ANONYMOUS_DB`: your own Anonymous-IP mmdb.
   */
  readonly anonymousDb?: string;
  /**
   * `RISKGATE_LISTEN`: address of the sidecar.
   * @default 127.0.0.1:8710
   */
  readonly listen?: string;
  /**
   * `RISKGATE_ADMIN_LISTEN`: address of the dashboard and /metrics when LISTEN is not loopback.
   * @default 127.0.0.1:9710
   */
  readonly adminListen?: string;
  /**
   * `RISKGATE_TOKEN`: bearer token that callers must send; required on a public address.
   */
  readonly token?: SecretSource;
  /**
   * `RISKGATE_TRUSTED_PROXIES`: proxies in front of the sidecar, counted from the right of X-Forwarded-For, or of Forwarded if only
   * that is sent.
   * @default 0
   */
  readonly trustedProxies?: number;
  /**
   * `RISKGATE_MAX_IN_FLIGHT`: concurrent requests; more are refused with 503.
   * @default 512
   */
  readonly maxInFlight?: number;
  /**
   * `RISKGATE_DASHBOARD_VIEW_TOKEN`: token that shows users and decisions in the dashboard; without it and the others, aggregates
   * only.
   */
  readonly dashboardViewToken?: SecretSource;
  /**
   * `RISKGATE_DASHBOARD_OPERATORS`: operators who may act in the dashboard: name=token, several; tokens of at least 16 characters.
   */
  readonly dashboardOperators?: SecretSource;
  /**
   * `RISKGATE_DASHBOARD_PROXY_CIDRS`: networks of a proxy that signs operators in and names them in X-Forwarded-User.
   */
  readonly dashboardProxyCidrs?: readonly string[];
  /**
   * `RISKGATE_DASHBOARD_PROXY_SECRET`: secret that the proxy sends in X-Riskgate-Proxy-Secret; required with DASHBOARD_PROXY_CIDRS.
   */
  readonly dashboardProxySecret?: SecretSource;
  /**
   * `RISKGATE_METRICS`: off turns metrics off; else Prometheus in the sidecar, EMF in Lambda.
   */
  readonly metrics?: string;
  /**
   * `RISKGATE_LOG`: off, error, warn, info, debug or trace, for riskgate's own lines.
   * @default info
   */
  readonly log?: 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace';
  /**
   * `RISKGATE_LOG_FORMAT`: json or text.
   * @default json
   */
  readonly logFormat?: 'json' | 'text';
  /**
   * `RISKGATE_AUDIT`: stdout, off, or a file that audit lines are appended to.
   * @default stdout
   */
  readonly audit?: string;
  /**
   * `RISKGATE_ON_BAD_CONFIG`: a faulty variable in Lambda: monitor (its default is used, no sign-in is denied) or refuse.
   * @default monitor
   */
  readonly onBadConfig?: 'monitor' | 'refuse';
  /**
   * `RISKGATE_MINFRAUD_WEIGHT`: multiplies the evidence, 0 to 4.
   * @default 1
   */
  readonly minfraudWeight?: number;
  /**
   * `RISKGATE_MINFRAUD_TIMEOUT`: longest wait for it; PROVIDER_TIMEOUT when unset.
   */
  readonly minfraudTimeout?: Duration | string;
  /**
   * `RISKGATE_MINFRAUD_SEND`: what is sent to it: ip, ip_device or all.
   * @default ip
   */
  readonly minfraudSend?: 'ip' | 'ip_device' | 'all';
  /**
   * `RISKGATE_MINFRAUD_DAILY_LIMIT`: calls a day; unlimited when unset.
   */
  readonly minfraudDailyLimit?: number;
  /**
   * `RISKGATE_IPQS_WEIGHT`: multiplies the evidence, 0 to 4.
   * @default 1
   */
  readonly ipqsWeight?: number;
  /**
   * `RISKGATE_IPQS_TIMEOUT`: longest wait for it; PROVIDER_TIMEOUT when unset.
   */
  readonly ipqsTimeout?: Duration | string;
  /**
   * `RISKGATE_IPQS_SEND`: what is sent to it: ip, ip_device or all.
   * @default ip
   */
  readonly ipqsSend?: 'ip' | 'ip_device' | 'all';
  /**
   * `RISKGATE_IPQS_DAILY_LIMIT`: calls a day; unlimited when unset.
   */
  readonly ipqsDailyLimit?: number;
  /**
   * `RISKGATE_ABUSEIPDB_WEIGHT`: multiplies the evidence, 0 to 4.
   * @default 1
   */
  readonly abuseipdbWeight?: number;
  /**
   * `RISKGATE_ABUSEIPDB_TIMEOUT`: longest wait for it; PROVIDER_TIMEOUT when unset.
   */
  readonly abuseipdbTimeout?: Duration | string;
  /**
   * `RISKGATE_ABUSEIPDB_SEND`: what is sent to it: ip, ip_device or all.
   * @default ip
   */
  readonly abuseipdbSend?: 'ip' | 'ip_device' | 'all';
  /**
   * `RISKGATE_ABUSEIPDB_DAILY_LIMIT`: calls a day; unlimited when unset.
   */
  readonly abuseipdbDailyLimit?: number;
  /**
   * `RISKGATE_CROWDSEC_WEIGHT`: multiplies the evidence, 0 to 4.
   * @default 1
   */
  readonly crowdsecWeight?: number;
  /**
   * `RISKGATE_CROWDSEC_TIMEOUT`: longest wait for it; PROVIDER_TIMEOUT when unset.
   */
  readonly crowdsecTimeout?: Duration | string;
  /**
   * `RISKGATE_CROWDSEC_SEND`: what is sent to it: ip, ip_device or all.
   * @default ip
   */
  readonly crowdsecSend?: 'ip' | 'ip_device' | 'all';
  /**
   * `RISKGATE_CROWDSEC_DAILY_LIMIT`: calls a day; unlimited when unset.
   */
  readonly crowdsecDailyLimit?: number;
  /**
   * `RISKGATE_CROWDSEC_CTI_WEIGHT`: multiplies the evidence, 0 to 4.
   * @default 1
   */
  readonly crowdsecCtiWeight?: number;
  /**
   * `RISKGATE_CROWDSEC_CTI_TIMEOUT`: longest wait for it; PROVIDER_TIMEOUT when unset.
   */
  readonly crowdsecCtiTimeout?: Duration | string;
  /**
   * `RISKGATE_CROWDSEC_CTI_SEND`: what is sent to it: ip, ip_device or all.
   * @default ip
   */
  readonly crowdsecCtiSend?: 'ip' | 'ip_device' | 'all';
  /**
   * `RISKGATE_CROWDSEC_CTI_DAILY_LIMIT`: calls a day; unlimited when unset.
   */
  readonly crowdsecCtiDailyLimit?: number;
  /**
   * `RISKGATE_HTTP_WEIGHT`: multiplies the evidence, 0 to 4.
   * @default 1
   */
  readonly httpWeight?: number;
  /**
   * `RISKGATE_HTTP_TIMEOUT`: longest wait for it; PROVIDER_TIMEOUT when unset.
   */
  readonly httpTimeout?: Duration | string;
  /**
   * `RISKGATE_HTTP_SEND`: what is sent to it: ip, ip_device or all.
   * @default ip
   */
  readonly httpSend?: 'ip' | 'ip_device' | 'all';
  /**
   * `RISKGATE_HTTP_DAILY_LIMIT`: calls a day; unlimited when unset.
   */
  readonly httpDailyLimit?: number;
}

/** The environment variable of each prop. */
export const VARIABLES: Readonly<Record<keyof RiskgateVariables, string>> = {
  mode: 'RISKGATE_MODE',
  denyAt: 'RISKGATE_DENY_AT',
  reviewAt: 'RISKGATE_REVIEW_AT',
  challengeAt: 'RISKGATE_CHALLENGE_AT',
  challengeAcrValues: 'RISKGATE_CHALLENGE_ACR_VALUES',
  fallback: 'RISKGATE_FALLBACK',
  degradedDenyAt: 'RISKGATE_DEGRADED_DENY_AT',
  noIp: 'RISKGATE_NO_IP',
  denyMessage: 'RISKGATE_DENY_MESSAGE',
  allowCidrs: 'RISKGATE_ALLOW_CIDRS',
  denyCidrs: 'RISKGATE_DENY_CIDRS',
  denyClients: 'RISKGATE_DENY_CLIENTS',
  denyCountries: 'RISKGATE_DENY_COUNTRIES',
  denyAsns: 'RISKGATE_DENY_ASNS',
  allowAsns: 'RISKGATE_ALLOW_ASNS',
  pools: 'RISKGATE_POOLS',
  tenantAttribute: 'RISKGATE_TENANT_ATTRIBUTE',
  budget: 'RISKGATE_BUDGET',
  providerTimeout: 'RISKGATE_PROVIDER_TIMEOUT',
  connectTimeout: 'RISKGATE_CONNECT_TIMEOUT',
  storeTimeout: 'RISKGATE_STORE_TIMEOUT',
  providers: 'RISKGATE_PROVIDERS',
  minfraudUrl: 'RISKGATE_MINFRAUD_URL',
  minfraudAccountId: 'RISKGATE_MINFRAUD_ACCOUNT_ID',
  minfraudLicenseKey: 'RISKGATE_MINFRAUD_LICENSE_KEY',
  minfraudService: 'RISKGATE_MINFRAUD_SERVICE',
  ipqsUrl: 'RISKGATE_IPQS_URL',
  ipqsKey: 'RISKGATE_IPQS_KEY',
  abuseipdbUrl: 'RISKGATE_ABUSEIPDB_URL',
  abuseipdbKey: 'RISKGATE_ABUSEIPDB_KEY',
  crowdsecUrl: 'RISKGATE_CROWDSEC_URL',
  crowdsecKey: 'RISKGATE_CROWDSEC_KEY',
  crowdsecCtiUrl: 'RISKGATE_CROWDSEC_CTI_URL',
  crowdsecCtiKey: 'RISKGATE_CROWDSEC_CTI_KEY',
  httpUrl: 'RISKGATE_HTTP_URL',
  httpMethod: 'RISKGATE_HTTP_METHOD',
  httpHeaders: 'RISKGATE_HTTP_HEADERS',
  httpBody: 'RISKGATE_HTTP_BODY',
  httpScorePointer: 'RISKGATE_HTTP_SCORE_POINTER',
  httpScoreScale: 'RISKGATE_HTTP_SCORE_SCALE',
  httpReasonsPointer: 'RISKGATE_HTTP_REASONS_POINTER',
  allowPlainHttp: 'RISKGATE_ALLOW_PLAIN_HTTP',
  servicesCa: 'RISKGATE_SERVICES_CA',
  cacheCapacity: 'RISKGATE_CACHE_CAPACITY',
  cacheTtl: 'RISKGATE_CACHE_TTL',
  cacheStaleFor: 'RISKGATE_CACHE_STALE_FOR',
  cacheNegativeTtl: 'RISKGATE_CACHE_NEGATIVE_TTL',
  store: 'RISKGATE_STORE',
  historyTtl: 'RISKGATE_HISTORY_TTL',
  activityTtl: 'RISKGATE_ACTIVITY_TTL',
  pendingTtl: 'RISKGATE_PENDING_TTL',
  learn: 'RISKGATE_LEARN',
  pseudonymKey: 'RISKGATE_PSEUDONYM_KEY',
  model: 'RISKGATE_MODEL',
  calibration: 'RISKGATE_CALIBRATION',
  mixture: 'RISKGATE_MIXTURE',
  prior: 'RISKGATE_PRIOR',
  claimPrefix: 'RISKGATE_CLAIM_PREFIX',
  withholdGroups: 'RISKGATE_WITHHOLD_GROUPS',
  withholdScopes: 'RISKGATE_WITHHOLD_SCOPES',
  reviewHold: 'RISKGATE_REVIEW_HOLD',
  challengeHold: 'RISKGATE_CHALLENGE_HOLD',
  challengeFrom: 'RISKGATE_CHALLENGE_FROM',
  challengeSesRegion: 'RISKGATE_CHALLENGE_SES_REGION',
  challengeWebhook: 'RISKGATE_CHALLENGE_WEBHOOK',
  challengeWebhookSecret: 'RISKGATE_CHALLENGE_WEBHOOK_SECRET',
  challengeTemplates: 'RISKGATE_CHALLENGE_TEMPLATES',
  challengeCodeTtl: 'RISKGATE_CHALLENGE_CODE_TTL',
  challengeCodes: 'RISKGATE_CHALLENGE_CODES',
  challengeNetworkCodes: 'RISKGATE_CHALLENGE_NETWORK_CODES',
  challengeFallback: 'RISKGATE_CHALLENGE_FALLBACK',
  sessionQueue: 'RISKGATE_SESSION_QUEUE',
  sessionSource: 'RISKGATE_SESSION_SOURCE',
  sessionOnDeny: 'RISKGATE_SESSION_ON_DENY',
  sessionRecheck: 'RISKGATE_SESSION_RECHECK',
  sessionCalls: 'RISKGATE_SESSION_CALLS',
  sessionDelay: 'RISKGATE_SESSION_DELAY',
  stepUpPools: 'RISKGATE_STEP_UP_POOLS',
  stepUpClients: 'RISKGATE_STEP_UP_CLIENTS',
  authorizerResponse: 'RISKGATE_AUTHORIZER_RESPONSE',
  contextKeys: 'RISKGATE_CONTEXT_KEYS',
  contextMaxAge: 'RISKGATE_CONTEXT_MAX_AGE',
  trustedClients: 'RISKGATE_TRUSTED_CLIENTS',
  untrustedContext: 'RISKGATE_UNTRUSTED_CONTEXT',
  cityDb: 'RISKGATE_CITY_DB',
  asnDb: 'RISKGATE_ASN_DB',
  anonymousDb: 'RISKGATE_ANONYMOUS_DB',
  listen: 'RISKGATE_LISTEN',
  adminListen: 'RISKGATE_ADMIN_LISTEN',
  token: 'RISKGATE_TOKEN',
  trustedProxies: 'RISKGATE_TRUSTED_PROXIES',
  maxInFlight: 'RISKGATE_MAX_IN_FLIGHT',
  dashboardViewToken: 'RISKGATE_DASHBOARD_VIEW_TOKEN',
  dashboardOperators: 'RISKGATE_DASHBOARD_OPERATORS',
  dashboardProxyCidrs: 'RISKGATE_DASHBOARD_PROXY_CIDRS',
  dashboardProxySecret: 'RISKGATE_DASHBOARD_PROXY_SECRET',
  metrics: 'RISKGATE_METRICS',
  log: 'RISKGATE_LOG',
  logFormat: 'RISKGATE_LOG_FORMAT',
  audit: 'RISKGATE_AUDIT',
  onBadConfig: 'RISKGATE_ON_BAD_CONFIG',
  minfraudWeight: 'RISKGATE_MINFRAUD_WEIGHT',
  minfraudTimeout: 'RISKGATE_MINFRAUD_TIMEOUT',
  minfraudSend: 'RISKGATE_MINFRAUD_SEND',
  minfraudDailyLimit: 'RISKGATE_MINFRAUD_DAILY_LIMIT',
  ipqsWeight: 'RISKGATE_IPQS_WEIGHT',
  ipqsTimeout: 'RISKGATE_IPQS_TIMEOUT',
  ipqsSend: 'RISKGATE_IPQS_SEND',
  ipqsDailyLimit: 'RISKGATE_IPQS_DAILY_LIMIT',
  abuseipdbWeight: 'RISKGATE_ABUSEIPDB_WEIGHT',
  abuseipdbTimeout: 'RISKGATE_ABUSEIPDB_TIMEOUT',
  abuseipdbSend: 'RISKGATE_ABUSEIPDB_SEND',
  abuseipdbDailyLimit: 'RISKGATE_ABUSEIPDB_DAILY_LIMIT',
  crowdsecWeight: 'RISKGATE_CROWDSEC_WEIGHT',
  crowdsecTimeout: 'RISKGATE_CROWDSEC_TIMEOUT',
  crowdsecSend: 'RISKGATE_CROWDSEC_SEND',
  crowdsecDailyLimit: 'RISKGATE_CROWDSEC_DAILY_LIMIT',
  crowdsecCtiWeight: 'RISKGATE_CROWDSEC_CTI_WEIGHT',
  crowdsecCtiTimeout: 'RISKGATE_CROWDSEC_CTI_TIMEOUT',
  crowdsecCtiSend: 'RISKGATE_CROWDSEC_CTI_SEND',
  crowdsecCtiDailyLimit: 'RISKGATE_CROWDSEC_CTI_DAILY_LIMIT',
  httpWeight: 'RISKGATE_HTTP_WEIGHT',
  httpTimeout: 'RISKGATE_HTTP_TIMEOUT',
  httpSend: 'RISKGATE_HTTP_SEND',
  httpDailyLimit: 'RISKGATE_HTTP_DAILY_LIMIT',
};
