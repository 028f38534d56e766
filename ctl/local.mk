# ctl/local.mk - vhost-dmctl, which speaks JSON.
EXTRA_DIST += ctl/vhost-dmctl.bash
if HAVE_JSON
sbin_PROGRAMS += vhost-dmctl
vhost_dmctl_SOURCES = ctl/main.c ctl/ctl.h ctl/change.c ctl/connection.c ctl/list.c ctl/map.c ctl/output.c \
	ctl/regions.c
vhost_dmctl_CFLAGS = $(AM_CFLAGS) $(JSONC_CFLAGS)
vhost_dmctl_LDADD = libcommon.la $(JSONC_LIBS)

# bash-completion looks for a file of the command's name.
bashcompletiondir = $(datadir)/bash-completion/completions
install-data-hook: install-bash-completion
install-bash-completion:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) $(srcdir)/ctl/vhost-dmctl.bash '$(DESTDIR)$(bashcompletiondir)/vhost-dmctl'
uninstall-hook: uninstall-bash-completion
uninstall-bash-completion:
	rm -f '$(DESTDIR)$(bashcompletiondir)/vhost-dmctl'
endif
