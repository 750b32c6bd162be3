# bats runs this once, before the first test of any file here.
setup_suite() {
    make -s -C "$BATS_TEST_DIRNAME/.." all debug test-programs >&2 || return
}
