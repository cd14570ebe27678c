# SPDX-License-Identifier: MIT
# What is handed over: header, library, manual, examples, tools, packages, and builds elsewhere.
package_programs = %D%/clock_watch %D%/fake_systemd %D%/print_splay %D%/print_version
builds_of_their_own = %D%/test_ports.sh %D%/test_consumers.sh %D%/test_cpp.sh
package_scripts = %D%/test_man.sh %D%/test_abi.sh %D%/test_configure.sh %D%/test_dlopen.sh \
	%D%/test_header.sh %D%/test_licences.sh %D%/test_promises.sh %D%/test_symbols.sh \
	%D%/test_version.sh
if EXAMPLES
example_scripts = %D%/test_heartbeatd.sh %D%/test_examples.sh %D%/test_embed.sh %D%/test_upgrade.sh
endif
if TOOLS
tool_scripts = %D%/test_every.sh %D%/test_every_signals.sh %D%/test_every_systemd.sh
endif
package_dist = %D%/asyncio_timers.py %D%/consumers/CMakeLists.txt %D%/consumers/meson.build \
	%D%/cpp/exceptions.cpp %D%/cpp/objects.cpp %D%/cpp/test.hpp %D%/dlopened.c %D%/every.sh \
	%D%/installed.sh %D%/ports/check.c %D%/ports/check.h \
	%D%/release_0.1/asynctimer.h %D%/test_bare.sh %D%/test_debian.sh %D%/test_dist.sh

# What test_abi.sh compares the library with.
abi: lib/libasynctimer.la
	$(srcdir)/abi/dump $(srcdir)/include lib/.libs/libasynctimer.so >libasynctimer.abi
	mv libasynctimer.abi $(srcdir)/abi/libasynctimer.abi

# Against the installed library, with nothing but what pkg-config says of it.
installcheck-local:
	CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' PKG_CONFIG_PATH='$(DESTDIR)$(pkgconfigdir)' \
	PKG_CONFIG_SYSROOT_DIR='$(DESTDIR)' LD_LIBRARY_PATH='$(DESTDIR)$(libdir)' \
		$(SHELL) $(srcdir)/%D%/installed.sh $(srcdir)/examples/basic.c

check-dist:
	srcdir='$(srcdir)' $(SHELL) $(srcdir)/%D%/test_dist.sh

# Packages for Debian, from the tarball.
check-debian:
	srcdir='$(srcdir)' PACKAGE_VERSION='$(PACKAGE_VERSION)' \
		$(SHELL) $(srcdir)/%D%/test_debian.sh || test $$? = 77

# The tarball, on systems that have nothing but what builds it.
check-bare:
	srcdir='$(srcdir)' PACKAGE_VERSION='$(PACKAGE_VERSION)' ALPINE_REPOSITORY='$(ALPINE_REPOSITORY)' \
		$(SHELL) $(srcdir)/%D%/test_bare.sh || test $$? = 77

# The library for machines of other kinds, tested under qemu.
CROSS = arm64 armhf ppc64el riscv64 s390x
check-cross:
	srcdir='$(srcdir)' PORTS='$(CROSS)' $(SHELL) $(srcdir)/%D%/test_ports.sh || test $$? = 77
.PHONY: abi check-bare check-dist check-debian check-cross
