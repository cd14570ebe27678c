# SPDX-License-Identifier: MIT
# What users of timers complain about, played with this library and with others: make
# check-peers. Each library is a program of its own, built where configure found it.
peers_sources = %D%/peer.h %D%/peers.c %D%/scenes.c %D%/scenes.h %D%/scenes_stop.c \
	%D%/scenes_when.c
peers_programs = %D%/peer_asynctimer
peers_scripts = %D%/test_peers.sh
peers_others = %D%/peer_bare %D%/peer_glib %D%/peer_libev %D%/peer_libevent %D%/peer_libuv \
	%D%/peer_sdevent
EXTRA_PROGRAMS += $(peers_others)
CLEANFILES += $(peers_others)
%C%_peer_asynctimer_SOURCES = %D%/peer_asynctimer.c $(peers_sources)
%C%_peer_bare_SOURCES = %D%/peer_bare.c $(peers_sources)
%C%_peer_bare_LDADD =
%C%_peer_glib_SOURCES = %D%/peer_glib.c $(peers_sources)
%C%_peer_glib_CPPFLAGS = $(AM_CPPFLAGS) $(GLIB_CFLAGS)
%C%_peer_glib_LDADD = $(GLIB_LIBS)
%C%_peer_libev_SOURCES = %D%/peer_libev.c $(peers_sources)
%C%_peer_libev_LDADD = -lev
%C%_peer_libevent_SOURCES = %D%/peer_libevent.c $(peers_sources)
%C%_peer_libevent_CPPFLAGS = $(AM_CPPFLAGS) $(LIBEVENT_CFLAGS)
%C%_peer_libevent_LDADD = $(LIBEVENT_LIBS) -levent_pthreads
%C%_peer_libuv_SOURCES = %D%/peer_libuv.c $(peers_sources)
%C%_peer_libuv_CPPFLAGS = $(AM_CPPFLAGS) $(LIBUV_CFLAGS)
%C%_peer_libuv_LDADD = $(LIBUV_LIBS)
%C%_peer_sdevent_SOURCES = %D%/peer_sdevent.c $(peers_sources)
%C%_peer_sdevent_CPPFLAGS = $(AM_CPPFLAGS) $(LIBSYSTEMD_CFLAGS) \
	-DSYSTEMD_VERSION='"'`$(PKG_CONFIG) --modversion libsystemd`'"'
%C%_peer_sdevent_LDADD = $(LIBSYSTEMD_LIBS)

# SCENES names some of scenes.c; with PEERS_SET_CLOCK=1, as root, one sets the wall clock by an
# hour for a moment, and back.
check-peers:
	@set -e; peers='asynctimer bare'; for peer in libuv libev libevent sdevent glib; do \
		case ' @EMBEDS@ ' in \
		*/embed_$$peer\ *) peers="$$peers $$peer";; \
		*) echo "left out: $$peer, which configure did not find";; \
		esac; \
	done; set --; for peer in $$peers; do set -- "$$@" %D%/peer_$$peer$(EXEEXT); done; \
	$(MAKE) $(AM_MAKEFLAGS) "$$@"; \
	SCENES='$(SCENES)' PEERS_SET_CLOCK='$(PEERS_SET_CLOCK)' $(SHELL) $(srcdir)/%D%/compare.sh "$$@"
.PHONY: check-peers
peers_dist = %D%/compare.sh
