package decisions

// Schema is the JSON Schema (draft 2020-12) of a line.
func Schema() string { return schema }

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "wicketgate decision, one line of the decision log",
  "type": "object",
  "additionalProperties": false,
  "required": ["v", "time", "verdict", "status", "method", "credential"],
  "properties": {
    "v": {"const": 1, "description": "The version of this form. A new member makes a new one."},
    "time": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$", "description": "When the request came, in UTC."},
    "listener": {"type": "string", "description": "The address it came in at, as configured."},
    "interaction": {"type": "string", "pattern": "^[0-9a-fA-F-]{36}$", "description": "x-fapi-interaction-id, with preset: fapi."},
    "trace": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The trace-id of traceparent."},
    "resource": {"type": "string", "minLength": 1, "description": "The resource's name; absent where the request was refused before it was known."},
    "route": {"type": "string", "minLength": 1, "description": "The route's name; absent where none governs."},
    "verdict": {"enum": ["allowed", "anonymous", "public", "preflight", "answered", "refused", "failed", "reported"], "description": "allowed: with a good token. anonymous: without one, on an optional route. public: nobody looked for one. preflight: forwarded for CORS. answered: by the gate itself. failed: nobody could tell. reported: let through by report_only, though refused or failed for the reason."},
    "reason": {"type": "string", "pattern": "^[a-z0-9_]+$", "description": "Which check refused or failed; docs/answers.md lists them."},
    "status": {"type": "integer", "minimum": 0, "maximum": 999, "description": "As the client was told; 499 where it had gone."},
    "method": {"type": "string", "pattern": "^([A-Z_-]{1,20}|other)$", "description": "other for what is no word in capitals."},
    "host": {"type": "string", "minLength": 1, "maxLength": 255, "description": "In lower case, with a port other than 80 and 443."},
    "path": {"type": "string", "maxLength": 2200, "description": "As it was sent, without query, parameters and segments that may be tokens; those are {masked}."},
    "path_cut": {"const": true, "description": "Part of the path is left out."},
    "source": {"type": "string", "pattern": "^[0-9a-f.:]+$", "description": "The client's address, as far as trusted proxies tell."},
    "credential": {"enum": ["none", "verified", "rejected", "unseen"], "description": "verified: caller tells of it. rejected: it is not good, or nobody could judge it. unseen: nobody looked at it."},
    "caller": {"$ref": "#/$defs/caller"},
    "headers": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "items": {"type": "string"}}, "description": "Those of decision_log.headers; an empty list where the request has none of that name."}
  },
  "if": {"properties": {"credential": {"const": "verified"}}},
  "then": {"required": ["caller"]},
  "else": {"not": {"required": ["caller"]}},
  "allOf": [
    {"if": {"properties": {"verdict": {"enum": ["refused", "failed", "reported"]}}}, "then": {"required": ["reason"]}, "else": {"not": {"required": ["reason"]}}}
  ],
  "$defs": {
    "texts": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    "caller": {
      "type": "object",
      "additionalProperties": false,
      "required": ["issuer", "iss", "subject_type"],
      "description": "Who asked, where the token's signature held and it passed every check before policy.",
      "properties": {
        "issuer": {"type": "string", "description": "The issuer's name in the configuration."},
        "iss": {"type": "string"},
        "sub": {"type": "string"},
        "client_id": {"type": "string"},
        "subject_type": {"enum": ["user", "client"]},
        "scope": {"$ref": "#/$defs/texts"},
        "aud": {"$ref": "#/$defs/texts"},
        "binding": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"enum": ["dpop", "mtls"]}, "description": "How the token was proved to be its sender's."},
        "nonce": {"const": true, "description": "The proof carried a nonce of the gate's."},
        "introspected": {"const": true, "description": "The token is opaque; its issuer was asked about it."},
        "jti": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Hex of the SHA-256 of the claim: some issuers' jti is the token."},
        "exp": {"type": "number"},
        "nbf": {"type": "number"},
        "iat": {"type": "number"},
        "acr": {"description": "As the token has it, like amr and auth_time."},
        "amr": {},
        "auth_time": {},
        "act": {"type": "object", "additionalProperties": false, "properties": {"sub": {"type": "string"}, "iss": {"type": "string"}}, "description": "The outermost actor."},
        "from": {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {"scope": {"type": "string"}, "aud": {"type": "string"}, "client_id": {"type": "string"}}, "description": "The claims that scope, aud and client_id are from, where the issuer has others."},
        "claims": {"type": "object", "minProperties": 1, "description": "Claims that rules look at or decision_log.claims lists, by dotted path."},
        "absent": {"$ref": "#/$defs/texts", "description": "Paths of such claims that the token does not have."},
        "left_out": {"$ref": "#/$defs/texts", "description": "Paths of claims that are too long to be recorded."}
      }
    }
  }
}
`
