# shellcheck shell=bash
# Stoplight Prism as second opinion on Harbor's API: what `sockel publish` and `publish --setup` send in the hermetic
# tests, and what the Harbor double answers there, judged by Harbor's own definition, which is not shipped:
# $SOCKEL_HARBOR_API names it (api/v2.0/swagger.yaml of Harbor). $PRISM is a Prism that is there already.

judged() { # records all tests that talk to a Harbor, then lets Prism judge the record
    local answer
    SOCKEL_HARBOR_RECORD=$work/harbor-record cargo test --locked --quiet --test it -- harbor publish >"$work/log" 2>&1 || { tail -40 "$work/log"; return 1; }
    answer=$(python3 tests/live/prism.py "$SOCKEL_HARBOR_API" "$work/harbor-record" "$prism" 2>&1)
    local code=$?
    printf '         prism: %s\n' "$(head -1 <<<"$answer")" >&3
    echo "$answer"
    return $code
}

if [[ -z ${SOCKEL_HARBOR_API:-} ]]; then
    skip "Prism judges Harbor's client and double: \$SOCKEL_HARBOR_API DOES NOT NAME Harbor's swagger.yaml, which is not shipped"
elif ! have cargo || ! have python3; then
    skip "Prism judges Harbor's client and double: cargo or python3 is missing"
elif [[ -z ${PRISM:-} ]] && ! have npm; then
    skip "Prism judges Harbor's client and double: npm is missing, Prism comes from there"
# the version whose findings are known; it wants Node 18
elif [[ -z ${PRISM:-} ]] && ! npm install --prefix "$work/prism" --no-audit --no-fund --silent @stoplight/prism-cli@5.14.2 >"$work/log" 2>&1; then
    skip "Prism judges Harbor's client and double: PRISM CANNOT BE INSTALLED: $(tail -1 "$work/log")"
else
    prism=${PRISM:-$work/prism/node_modules/.bin/prism}
    check "Prism: what is said to Harbor and what the double answers fits Harbor's definition" judged
fi
